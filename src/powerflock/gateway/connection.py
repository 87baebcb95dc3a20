"""One WebSocket: frames to its session, messages back; the latest command and policy wait until it is writable.

Invariants: a client that does not read costs a bounded amount of memory: its acks wait and keep their credits taken,
of its commands and policies only the latest wait, and an error ends it. Must not know the log or other connections.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from powerflock.domain.errors import ProtocolError
from powerflock.gateway.protocol import (
    POLICY_VERSION,
    Ack,
    Code,
    Command,
    CommandAck,
    Error,
    PolicyFrame,
    Welcome,
    check_size,
)
from powerflock.gateway.session import GatewayOptions, Session, Submission

_LINGER_S = 1.0
_CLOSE_CODES = {Code.LOG_UNAVAILABLE: WSCloseCode.TRY_AGAIN_LATER}
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)


class Owner(Protocol):
    """What a connection tells its gateway."""

    def connected(self, connection: Connection) -> None:
        """The socket speaks WebSocket."""

    def opened(self, connection: Connection) -> None:
        """A good hello was said."""

    def submitted(self, submission: Submission) -> None:
        """Readings are to be logged."""

    def command_acked(self, connection: Connection, ack: CommandAck) -> None:
        """The edge answered a command."""

    def refused(self, error: Error) -> None:
        """An error is being sent."""

    def closed(self, connection: Connection) -> None:
        """The socket is gone."""


class Connection(WSListener):
    """The listener of one socket."""

    def __init__(self, session: Session, owner: Owner, options: GatewayOptions) -> None:
        super().__init__()
        self.session = session
        self._owner, self._options = owner, options
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._size, self._binary = 0, False
        self._writable, self._ending = True, False
        self._waiting: Command | None = None
        self._policy_waiting: PolicyFrame | None = None
        self._held: list[tuple[Submission, Error | None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start waiting for the hello."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=16_384)
        self._owner.connected(self)
        self._later(self._options.hello_timeout_s, self._hello_is_late)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle one frame; after a fatal error only the client's close matters."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in _DATA and not self._ending:
            try:
                message = self._assemble(frame)
            except ProtocolError as error:
                self.send(self.session.refuse(Error(error.code, str(error), error.fatal)))
                return
            if message is not None:
                self._handle(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows calls it so
        """Forget the socket."""
        self._cancel_timer()
        self._transport, self._ending = None, True
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """The client is not reading: hold commands back, the latest wins."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client reads again: send the command and the policy that waited, then the answers."""
        self._writable = True
        waited, self._waiting, self._policy_waiting = (self._waiting, self._policy_waiting), None, None
        for message in waited:
            if message is not None:
                self.send(message)
        held, self._held = self._held, []
        for submission, error in held:
            self.send(self.session.settle(submission, error))

    def settle(self, submission: Submission, error: Error | None) -> None:
        """Tell the client what became of its batch; until it reads, its credits stay taken."""
        if not self._writable:
            self._held.append((submission, error))
            return
        self.send(self.session.settle(submission, error))

    def command(self, command: Command) -> bool:
        """Send the command now, or as soon as the socket is writable; `True` if it takes the place of a waiting one."""
        if self._writable:
            self.send(command)
            return False
        superseded = self._waiting is not None
        self._waiting = command
        return superseded

    def policy(self, policy: PolicyFrame) -> bool:
        """Send the policy now or as soon as the socket is writable; `False` to a client whose version has none."""
        if self.session.version < POLICY_VERSION:
            return False
        if self._writable:
            self.send(policy)
        else:
            self._policy_waiting = policy
        return True

    def send(self, message: Welcome | Ack | Command | PolicyFrame | Error) -> None:
        """Send a message; a fatal error ends the connection, as does any error to a client that does not read."""
        if self._transport is None or self._ending:
            return
        codec = self.session.codec
        self._transport.send(WSMsgType.BINARY if codec.binary else WSMsgType.TEXT, codec.encode(message))
        if isinstance(message, Error):
            self._owner.refused(message)
            if message.fatal or not self._writable:
                self.end(_CLOSE_CODES.get(Code(message.code), WSCloseCode.POLICY_VIOLATION), message.code)

    def end(self, code: WSCloseCode, reason: str) -> None:
        """Say goodbye, and cut the line if the client has not closed it in time to have read why."""
        if self._transport is None or self._ending:
            return
        self._ending = True
        self._parts.clear()
        self._transport.send_close(code, reason.encode())
        self._later(_LINGER_S, self._cut)

    def _handle(self, message: bytes) -> None:
        result = self.session.receive(message)
        if isinstance(result, Submission):
            self._owner.submitted(result)
        elif isinstance(result, CommandAck):
            self._owner.command_acked(self, result)
        else:
            self.send(result)
            if isinstance(result, Welcome):
                self._cancel_timer()
                self._owner.opened(self)

    def _assemble(self, frame: WSFrame) -> bytes | None:
        """The whole message when its last frame is here; a message over the limit is dropped and refused at its end."""
        if frame.msg_type != WSMsgType.CONTINUATION:
            self._parts, self._size = [], 0
            self._binary = frame.msg_type == WSMsgType.BINARY
        self._size += frame.payload_size
        if self._size <= self._options.max_frame_bytes:
            self._parts.append(frame.get_payload_as_bytes())
        else:
            self._parts.clear()
        if not frame.fin:
            return None
        check_size(self._size, self._options.max_frame_bytes)
        if self._binary != self.session.codec.binary:
            kind = "binary" if self.session.codec.binary else "text"
            raise ProtocolError(Code.BAD_FRAME, f"{self.session.codec.subprotocol} takes {kind} frames only")
        message, self._parts = b"".join(self._parts), []
        return message

    def _hello_is_late(self) -> None:
        text = f"no hello within {self._options.hello_timeout_s:g} s"
        self.send(Error(Code.HELLO_REQUIRED, text, fatal=True))

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _later(self, delay_s: float, action: _Action) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Action(Protocol):
    def __call__(self) -> None: ...
