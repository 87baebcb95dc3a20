"""The device front door: a WebSocket server that logs readings, acknowledges them, and routes commands to sessions.

Invariants: one live session per site, the newest; an ack follows the log's durable append; what one client does
disturbs no other; commands never wait for telemetry. All methods belong to the event loop's thread.
Must not know the registry's implementation, nor what commands mean.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from picows import (
    WSCloseCode,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from powerflock.domain.arrays import Records
from powerflock.domain.clock import Clock
from powerflock.domain.columns import COMMAND, Issuer
from powerflock.domain.errors import InvalidInput
from powerflock.gateway.batcher import Batcher
from powerflock.gateway.connection import Connection
from powerflock.gateway.events import Events
from powerflock.gateway.protocol import PATH, Code, Codec, Command, CommandAck, Error, PolicyFrame, choose_codec
from powerflock.gateway.session import Address, Directory, GatewayOptions, Session, Submission
from powerflock.log.port import Log


class Sent(NamedTuple):
    """How many commands found a live session, and how many sites had none."""

    sent: int
    unroutable: int


@dataclass(slots=True)
class Counts:
    """What the gateway has done since it started; `errors` by code."""

    connections: int = 0
    sessions: int = 0
    readings_received: int = 0
    readings_logged: int = 0
    batches_logged: int = 0
    commands_sent: int = 0
    commands_unroutable: int = 0
    commands_superseded: int = 0
    command_acks: int = 0
    policies_sent: int = 0
    errors: Counter[str] = field(default_factory=Counter)


CommandAcked = Callable[[str, Address, CommandAck], None]


class Gateway:
    """The server over its collaborators. `command_acked(site, address, ack)` is called on the event loop."""

    def __init__(
        self,
        log: Log,
        directory: Directory,
        clock: Clock,
        secret: bytes,
        command_acked: CommandAcked,
        options: GatewayOptions | None = None,
    ) -> None:
        self.counts = Counts()
        self._options = options or GatewayOptions()
        self._directory, self._clock, self._secret = directory, clock, secret
        self._command_acked = command_acked
        self._batcher = Batcher(log, self._options, self._settled)
        self._events = Events(log, clock, self._options.batch_ms, self._options.gateway)
        self._connections: dict[Session, Connection] = {}
        self._by_site: dict[str, Connection] = {}
        self._routes: dict[tuple[int, int], Connection] = {}
        self._policies: dict[int, tuple[int, dict[int, PolicyFrame]]] = {}
        self._all_closed, self._stopping = asyncio.Event(), False
        self._server: asyncio.Server | None = None
        self._writing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on `host` and `port` (0 takes a free one) and return the port; `OSError` if it is taken."""
        options = self._options
        if options.partitions:
            await asyncio.to_thread(self._events.declare_down, options.partitions)
        self._server = await ws_create_server(
            self._upgrade,
            host,
            port,
            max_frame_size=4 * options.max_frame_bytes,
            enable_auto_ping=True,
            auto_ping_idle_timeout=options.idle_timeout_s,
            auto_ping_reply_timeout=options.pong_timeout_s,
            logger_name="gateway",
        )
        self._writing = asyncio.create_task(self._batcher.run(), name="gateway-batcher")
        self._telling = asyncio.create_task(self._events.run(), name="gateway-events")
        return int(self._server.sockets[0].getsockname()[1])

    async def wait(self) -> None:
        """Return when the gateway was stopped; raise what broke its writing if a defect did."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def stop(self) -> None:
        """Take no new connection, log and acknowledge what was received, and say goodbye to every session."""
        if self._server is None:
            return
        self._stopping = True
        self._server.close()
        self._batcher.stop()
        try:
            await self.wait()
        finally:
            for connection in list(self._connections.values()):
                connection.end(WSCloseCode.GOING_AWAY, "the gateway is stopping")
            if self._connections:
                await self._all_closed.wait()  # every connection is cut within a second
            self._events.stop()
            if self._telling is not None:
                await self._telling
            self._server = None

    @property
    def sessions(self) -> int:
        """Sites with a live session now."""
        return len(self._by_site)

    @property
    def waiting_rows(self) -> int:
        """Readings received and not yet handed to the log."""
        return self._batcher.waiting_rows

    def send_commands(self, commands: Records, partition: int) -> Sent:
        """Send each (N,) `COMMAND` row to its site's live session; at one not writable the latest one waits."""
        if commands.dtype != COMMAND:
            raise InvalidInput("commands' dtype", str(commands.dtype), "must be COMMAND")
        sent = 0
        for site, seq, setpoint_kw, price, not_before_us, expires_us, epoch, issuer in commands.tolist():
            connection = self._routes.get((partition, site))
            if connection is None:
                continue
            price_per_kwh = None if math.isnan(price) else price
            times = (not_before_us, expires_us)
            command = Command(seq, setpoint_kw, price_per_kwh, *times, epoch, Issuer(issuer))
            self.counts.commands_superseded += connection.command(command)
            sent += 1
        unroutable = len(commands) - sent
        self.counts.commands_sent += sent
        self.counts.commands_unroutable += unroutable
        return Sent(sent, unroutable)

    def send_policies(
        self, partition: int, epoch: int, until_us: int, rows: Sequence[int], payloads: Sequence[bytes]
    ) -> int:  # fmt: skip
        """Send each site of `rows` its policy, now and whenever it connects before `until_us`; returns how many got it.

        They take the place of all that the partition's sites were sent before.
        """
        frames = {row: PolicyFrame(epoch, payload) for row, payload in zip(rows, payloads, strict=True)}
        self._policies[partition] = until_us, frames
        routes = ((self._routes.get((partition, row)), frame) for row, frame in frames.items())
        sent = sum(connection.policy(frame) for connection, frame in routes if connection is not None)
        self.counts.policies_sent += sent
        return sent

    def connected(self, connection: Connection) -> None:
        """Know the connection."""
        self._connections[connection.session] = connection
        self._all_closed.clear()
        self.counts.connections += 1
        if self._stopping:
            connection.end(WSCloseCode.GOING_AWAY, "the gateway is stopping")

    def opened(self, connection: Connection) -> None:
        """Make the connection its site's only one, and give it the site's policy."""
        session = connection.session
        older = self._by_site.get(session.site)
        if older is not None:
            older.send(Error(Code.REPLACED, "a newer session of this site was opened", fatal=True))
        self._by_site[session.site] = connection
        self._routes[session.route] = connection
        self._events.opened(session.route)
        self.counts.sessions += 1
        partition, row = session.route
        until_us, frames = self._policies.get(partition, (0, {}))
        if row in frames and self._clock.now_us() < until_us:
            self.counts.policies_sent += connection.policy(frames[row])

    def submitted(self, submission: Submission) -> None:
        """Queue the readings for the log."""
        self.counts.readings_received += len(submission.rows)
        self._batcher.add(submission)

    def command_acked(self, connection: Connection, ack: CommandAck) -> None:
        """Pass on a command's acknowledgement."""
        self.counts.command_acks += 1
        session = connection.session
        if session.address is not None and self._by_site.get(session.site) is connection:
            self._events.answered(session.route, ack.seq, ack.status)
            self._command_acked(session.site, session.address, ack)

    def refused(self, error: Error) -> None:
        """Count an error."""
        self.counts.errors[error.code] += 1

    def closed(self, connection: Connection) -> None:
        """Forget the connection, unless a newer one has its place."""
        session = connection.session
        self._connections.pop(session, None)
        if not self._connections:
            self._all_closed.set()
        if self._by_site.get(session.site) is connection:
            del self._by_site[session.site], self._routes[session.route]
            self._events.closed(session.route)

    def _settled(self, submission: Submission, error: Error | None) -> None:
        if error is None:
            self.counts.readings_logged += len(submission.rows)
            self.counts.batches_logged += 1
        connection = self._connections.get(submission.session)
        if connection is not None:
            connection.settle(submission, error)

    def _upgrade(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        if request.path.decode(errors="replace") != PATH:
            return _http_error(404, f"devices connect to {PATH}")
        try:
            codec = choose_codec(",".join(request.headers.getall("Sec-WebSocket-Protocol", [])))
        except InvalidInput as error:
            return _http_error(400, str(error))
        connection = self._connect(codec)
        headers = {"Sec-WebSocket-Protocol": codec.subprotocol}
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), connection)

    def _connect(self, codec: Codec) -> Connection:
        number = secrets.token_hex(8)
        session = Session(number, codec, self._clock, self._directory, self._secret, self._options)
        return Connection(session, self, self._options)


def _http_error(status: int, text: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, text.encode()), None)
