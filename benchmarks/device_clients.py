"""Homes for `end_to_end`: WebSocket clients that send one message a second each and note when what is acknowledged.

The first home of each feeder is a probe: its meter's power counts up, all others stand still, so that the feeder's
total says which of the probe's readings it holds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from picows import ws_connect

from powerflock.domain.columns import ReadingRow
from powerflock.domain.site import SiteSpec
from powerflock.sim.session import Batch, Home
from powerflock.sim.wire import Command, CommandAck, Error, Policy, Readings, Welcome, codec

STEADY_KW = 1.0
STEP_KW = 1.0 / 1024.0
_CONNECTS_AT_ONCE = 64
_PATIENCE_S = 60.0


_Check = Callable[[], bool]


def group_of(spec: SiteSpec) -> str:
    """The name of the site's feeder among the plant's groups."""
    return f"{spec.region}/{spec.feeder}"


class Clients:
    """One session per site. Times are `time.perf_counter` seconds."""

    def __init__(self, specs: Sequence[SiteSpec], tokens: Mapping[str, str]) -> None:
        """Homes of `specs`, not yet connected."""
        self.specs, self._codec = specs, codec("msgpack")
        self.homes = [
            Home(row, spec.site, self._codec, self, "powerflock-benchmark/1") for row, spec in enumerate(specs)
        ]
        for home in self.homes:
            home.token = tokens.get(home.site, "")
        self.members = Counter(group_of(spec) for spec in specs)
        first = {group_of(spec): row for row, spec in reversed(list(enumerate(specs)))}
        self.probe_rows = {row: group for group, row in first.items()}
        self.ack_s: list[float] = []
        self.probes: list[tuple[str, int, float]] = []
        self.late_s = 0.0
        self.readings = 0
        self._sent: dict[tuple[int, int], float] = {}
        self._rounds = 0
        self._errors: list[str] = []

    def welcomed(self, welcome: Welcome) -> None:
        """The plants measured run in real time: nothing to adopt."""

    def handed(self, row: int, policy: Policy) -> None:
        """Their power is not what is measured: no policy is followed."""

    def commanded(self, row: int, command: Command) -> None:
        """Answer as an edge does."""
        self.homes[row].answer(CommandAck(command.seq, "applied"))

    def settled(self, row: int, batch: Batch, kind: str) -> None:
        """Note how long an acknowledgement took."""
        if kind == "acked":
            self.ack_s.append(time.perf_counter() - self._sent.pop((row, batch.number)))

    def complained(self, row: int, error: Error) -> None:
        """Any refusal spoils the measurement."""
        self._errors.append(f"{self.specs[row].site}: {error.code}: {error.message}")

    async def connect(self, url: str) -> None:
        """Open all sessions; `RuntimeError` where one stays closed."""
        gate = asyncio.Semaphore(_CONNECTS_AT_ONCE)
        headers = {"Sec-WebSocket-Protocol": self._codec.subprotocol}

        async def open_one(home: Home) -> None:
            async with gate:
                await ws_connect(lambda: home, url, extra_headers=headers)

        await asyncio.gather(*(open_one(home) for home in self.homes))
        await self._until(lambda: all(home.open for home in self.homes), "all sessions are open")

    async def send(self, seconds: int) -> None:
        """One message of each home a second, spread evenly over it; then wait for all acknowledgements."""
        self.ack_s.clear()
        self.probes.clear()
        self.readings, self.late_s = 0, 0.0
        start, homes = time.perf_counter() + 0.05, len(self.homes)
        for count in range(seconds * homes):
            due = start + count / homes
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            self.late_s = max(self.late_s, time.perf_counter() - due)
            self._send(count % homes, self._rounds + count // homes + 1)
        self._rounds += seconds
        await self._until(lambda: not self._sent, "all readings are acknowledged")

    async def burst(self, messages: int) -> float:
        """Readings a second when each home sends `messages` as fast as it can, until all are acknowledged."""
        self.readings = 0
        start = time.perf_counter()
        for number in range(self._rounds + 1, self._rounds + messages + 1):
            for row in range(len(self.homes)):
                self._send(row, number)
                if row % 50 == 0:
                    await asyncio.sleep(0)
        self._rounds += messages
        await self._until(lambda: not self._sent, "all readings are acknowledged")
        return self.readings / (time.perf_counter() - start)

    def leave(self) -> None:
        """Close all sessions."""
        for home in self.homes:
            home.leave()

    def _send(self, row: int, number: int) -> None:
        spec, now_us = self.specs[row], time.time_ns() // 1_000
        meter_kw = number * STEP_KW if row in self.probe_rows else STEADY_KW
        rows = [ReadingRow("meter", now_us, now_us, meter_kw, 0.001 * number)]
        if spec.solar_kw > 0:
            rows.append(ReadingRow("solar", now_us, now_us, -0.5, -0.001 * number))
        if (battery := spec.battery) is not None:
            limits = battery.charge_limit_kw, battery.discharge_limit_kw, battery.capacity_kwh
            rows.append(ReadingRow("battery", now_us, now_us, 0.0, 0.6 * battery.capacity_kwh, *limits))
        frame = self._codec.encode(Readings(number, rows))
        self.readings += len(rows)
        now = self._sent[row, number] = time.perf_counter()
        if row in self.probe_rows:
            self.probes.append((self.probe_rows[row], number, now))
        self.homes[row].put(Batch(number, len(rows), now_us, {}, frame))

    async def _until(self, done: _Check, what: str) -> None:
        end = time.perf_counter() + _PATIENCE_S
        while not done():
            if self._errors:
                raise RuntimeError(f"the plant refused: {self._errors[0]} ({len(self._errors)} in all)")
            if time.perf_counter() > end:
                raise RuntimeError(f"waited {_PATIENCE_S:g} s in vain until {what}")
            await asyncio.sleep(0.005)
