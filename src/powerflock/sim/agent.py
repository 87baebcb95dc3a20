"""The virtual fleet as a process: homes that enrol, connect and speak the public protocol as real edges do.

Invariants: whatever ends the process ends it cleanly; while the plant is away the fleet asks for it politely (one
connection at a time) and carries on when it is back. Must not know the platform's code.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from picows import WSError, ws_connect

from powerflock.domain.errors import InvalidInput
from powerflock.sim.enrol import NotThere, enrol, read_key
from powerflock.sim.fleet import SimFleet
from powerflock.sim.flock import Flock
from powerflock.sim.ledger import Ledger
from powerflock.sim.memory import recall, resume
from powerflock.sim.session import Home
from powerflock.sim.sources import load_homes
from powerflock.sim.status import Status
from powerflock.sim.wire import Codec
from powerflock.sim.wire import codec as codec_named

TICK_S = 0.1
_CONNECTS_AT_ONCE = 64
_RETRY_S, _RETRY_AT_MOST_S = 0.2, 1.0
_CONNECT_TIMEOUT_S = 5.0

Tokens = dict[str, str]


def run_fleet(
    *,
    url: str,
    api: str,
    homes: int,
    homes_file: Path | None,
    seed: int,
    enrol_key_file: Path,
    ledger: Path | None,
    period_s: float,
    codec: str,
    state: Path | None = None,
    leash: bool = False,
) -> None:
    """Run until SIGTERM (returns) or SIGINT (`KeyboardInterrupt`), waiting for the plant whenever it is away.

    `url` is the gateway's WebSocket, `api` the REST address for enrolment, `period_s` the wall seconds between a home's
    readings, `state` the file in which the homes keep where they stand. On a `leash` the fleet ends
    with whoever holds the other end of its standard input. `InvalidInput` or `Unauthorised` if the homes, the
    addresses, the state or the key are refused.
    """
    wire = codec_named(codec)
    if urlsplit(url).scheme not in {"ws", "wss"} or not urlsplit(url).hostname:
        raise InvalidInput("gateway address", url, "must be ws:// or wss:// and a host")
    specs = load_homes(homes_file, homes, seed, 0, days=1).specs

    memory = recall(state) if state is not None else None

    def start(start_us: int) -> SimFleet:
        made = load_homes(homes_file, homes, seed, start_us)
        fleet = SimFleet(made.specs, made.profiles, start_us, seed)
        if memory is not None:
            resume(memory, fleet)
        return fleet

    def tokens() -> Tokens:
        return enrol(api, read_key(enrol_key_file), specs)

    with Status(len(specs)) as status, Ledger(ledger) as book:
        flock = Flock([spec.site for spec in specs], start, wire, book, status, state)
        stopped_by = asyncio.run(Agent(flock, wire, status, period_s).run(url, tokens, leash=leash))
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


class Agent:
    """The event loop's side: enrolment, connections and the beat of physics and readings."""

    def __init__(self, flock: Flock, codec: Codec, status: Status, period_s: float) -> None:
        """Homes of `flock`, each reading its devices every `period_s` wall seconds."""
        self._flock, self._codec, self._status = flock, codec, status
        self._tick_s = min(TICK_S, period_s)
        self._slots = max(1, round(period_s / self._tick_s))
        self._gate = asyncio.Semaphore(_CONNECTS_AT_ONCE)
        self._there = asyncio.Event()

    async def run(self, url: str, tokens: Callable[[], Tokens], *, leash: bool = False) -> signal.Signals:
        """Live until SIGTERM or SIGINT, which is returned, or the `leash` is let go; what else ends it is raised."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        received: list[signal.Signals] = []

        def stop(number: signal.Signals) -> None:
            received.append(number)
            ended.set()

        def let_go() -> None:
            loop.remove_reader(sys.stdin.fileno())
            stop(signal.SIGTERM)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        if leash:
            loop.add_reader(sys.stdin.fileno(), let_go)
        living = asyncio.ensure_future(self._live(url, tokens))
        living.add_done_callback(lambda _: ended.set())
        await ended.wait()
        if living.done():
            living.result()
        living.cancel()
        self._flock.remember()
        for home in self._flock.homes:
            home.leave()
        await asyncio.gather(living, return_exceptions=True)
        return received[0]

    async def _live(self, url: str, tokens: Callable[[], Tokens]) -> None:
        await self._enrol(tokens)
        homes = (self._converse(home, url) for home in self._flock.homes)
        await asyncio.gather(self._beat(), self._look_out(url), self._stay_enrolled(tokens), *homes)

    async def _enrol(self, tokens: Callable[[], Tokens]) -> None:
        """Get every home's token, waiting for the plant as long as it takes."""
        pause_s = _RETRY_S
        while True:
            try:
                self._flock.take_tokens(await asyncio.to_thread(tokens))
            except NotThere as reason:
                self._status.waiting(str(reason))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause_s = min(_RETRY_AT_MOST_S, pause_s * 1.6)
            else:
                return

    async def _stay_enrolled(self, tokens: Callable[[], Tokens]) -> None:
        """Enrol again when the plant no longer knows the homes, for example after its data were removed."""
        while True:
            await self._flock.forgotten.wait()
            await asyncio.sleep(_RETRY_AT_MOST_S)
            self._flock.forgotten.clear()
            await self._enrol(tokens)

    async def _look_out(self, url: str) -> None:
        """While the plant is away, try one bare connection now and then; the homes wait for it."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        while True:
            if not self._there.is_set():
                try:
                    _, writer = await asyncio.open_connection(parts.hostname, port)
                    writer.close()
                    self._there.set()
                except OSError as reason:
                    self._status.waiting(f"no gateway at {url}: {reason}")
            await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def _converse(self, home: Home, url: str) -> None:
        """Keep one home connected, for ever."""
        pause_s = _RETRY_S
        headers = {"Sec-WebSocket-Protocol": self._codec.subprotocol}
        while True:
            await self._there.wait()
            try:
                async with self._gate:
                    transport, _ = await ws_connect(
                        lambda: home, url, extra_headers=headers, websocket_handshake_timeout=_CONNECT_TIMEOUT_S
                    )
                await transport.wait_disconnected()
            except OSError:
                self._there.clear()
            except WSError as reason:
                self._status.say("refused", f"{url} refused a connection: {reason}")
            pause_s = _RETRY_S if home.welcomed else min(_RETRY_AT_MOST_S, pause_s * 1.6)
            home.welcomed = False
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _beat(self) -> None:
        """Physics ten times a second; each home's readings once a period, spread over the period."""
        loop = asyncio.get_running_loop()
        beat, next_s, shown_s = 0, loop.time(), 0.0
        while True:
            self._flock.tick(beat % self._slots, self._slots)
            beat += 1
            if loop.time() - shown_s >= 1.0:
                shown_s = loop.time()
                self._flock.show()
                self._flock.remember()
            next_s = max(next_s + self._tick_s, loop.time())
            await asyncio.sleep(next_s - loop.time())
