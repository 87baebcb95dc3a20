"""One home's conversation with the plant: its session, its spool of unacknowledged batches, and the credits.

Invariants: a batch leaves the spool only when the plant says it is durable (or refuses its content); after a reconnect
what was unacknowledged is sent again, oldest first, in the same frames with the same sequence numbers; never more
readings in flight than the credits allow. Must not know physics.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from powerflock.sim.wire import VERSIONS, Ack, Codec, Command, CommandAck, Error, Hello, Policy, Sent, Welcome

SPOOL_BATCHES = 600
"""A home stops reading its devices while this many batches wait: nothing numbered is ever dropped."""
_CONTENT_REFUSED = {"invalid_reading", "unknown_device", "bad_frame", "too_large"}
_ACKNOWLEDGED_LATER = {"over_credit"}


@dataclass(frozen=True, slots=True)
class Batch:
    """A frame as it is sent, every time the same."""

    number: int
    rows: int
    time_us: int
    seqs: dict[str, int]
    frame: bytes


class Fleet(Protocol):
    """What a session tells the fleet."""

    def welcomed(self, welcome: Welcome) -> None:
        """A session opened."""

    def commanded(self, row: int, command: Command) -> None:
        """A command came for the home `row`."""

    def handed(self, row: int, policy: Policy) -> None:
        """A policy came for the home `row`."""

    def settled(self, row: int, batch: Batch, kind: str) -> None:
        """A batch was `sent` for the first time, `acked` or `refused`."""

    def complained(self, row: int, error: Error) -> None:
        """The plant reported an error."""


class Home(WSListener):
    """A home's session; made once and connected again and again."""

    def __init__(self, row: int, site: str, codec: Codec, fleet: Fleet, agent: str) -> None:
        """`row` is the home's place in the fleet."""
        super().__init__()
        self.row, self.site, self.codec, self.fleet, self.agent = row, site, codec, fleet, agent
        self.token = ""
        self.spool: deque[Batch] = deque()
        self.transport: WSTransport | None = None
        self.open = self.welcomed = False
        self.credits = self.in_flight = self.sent = 0
        self.first_unsent = 0
        self._kind = WSMsgType.BINARY if codec.binary else WSMsgType.TEXT

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Say hello."""
        self.transport = transport
        self._send(Hello(VERSIONS, self.site, self.token, self.agent))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Everything unacknowledged waits to be sent again."""
        if transport is self.transport:
            self.transport, self.open = None, False
            self.in_flight = self.sent = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one message; what can't be understood ends the session."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if frame.msg_type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return
        try:
            message = self.codec.decode(frame.get_payload_as_bytes())
        except msgspec.DecodeError as error:
            self.fleet.complained(self.row, Error("not_understood", str(error), fatal=True))
            transport.disconnect()
            return
        if isinstance(message, Ack):
            self._acked(message)
        elif isinstance(message, Command):
            self.fleet.commanded(self.row, message)
        elif isinstance(message, Policy):
            self.fleet.handed(self.row, message)
        elif isinstance(message, Welcome):
            self.open = self.welcomed = True
            self.credits = message.credits
            self.fleet.welcomed(message)
            self.pump()
        else:
            self._refused(message, transport)

    @property
    def full(self) -> bool:
        """Whether the spool takes no more."""
        return len(self.spool) >= SPOOL_BATCHES

    def put(self, batch: Batch) -> None:
        """Spool a batch (numbers ascend) and send what the credits allow."""
        self.spool.append(batch)
        self.pump()

    def pump(self) -> None:
        """Send waiting batches, oldest first, while the session is open and credits last."""
        if not self.open:
            return
        while self.sent < len(self.spool):
            batch = self.spool[self.sent]
            if self.in_flight + batch.rows > self.credits:
                return
            self._send_frame(batch.frame)
            self.sent += 1
            self.in_flight += batch.rows
            if batch.number >= self.first_unsent:
                self.first_unsent = batch.number + 1
                self.fleet.settled(self.row, batch, "sent")

    def leave(self) -> None:
        """Say goodbye and close the connection, if there is one."""
        if self.transport is not None:
            self.transport.send_close()
            self.transport.disconnect()

    def answer(self, ack: CommandAck) -> None:
        """Report what became of a command, if the session is open."""
        if self.open:
            self._send(ack)

    def _acked(self, ack: Ack) -> None:
        self.credits = ack.credits
        self._settle(ack.batch, "acked")
        self.pump()

    def _settle(self, number: int, kind: str) -> None:
        """Take batch `number` out of the spool, if it is still there."""
        for place, batch in enumerate(self.spool):
            if batch.number == number and place < self.sent:
                del self.spool[place]
                self.sent -= 1
                self.in_flight -= batch.rows
                self.fleet.settled(self.row, batch, kind)
                return

    def _refused(self, error: Error, transport: WSTransport) -> None:
        self.fleet.complained(self.row, error)
        if error.batch is not None and error.code in _CONTENT_REFUSED:
            self._settle(error.batch, "refused")
            self.pump()
        if error.fatal or error.code in _ACKNOWLEDGED_LATER:
            transport.disconnect()

    def _send(self, message: Sent) -> None:
        self._send_frame(self.codec.encode(message))

    def _send_frame(self, frame: bytes) -> None:
        if self.transport is not None:
            self.transport.send(self._kind, frame)
