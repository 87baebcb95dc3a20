"""The wire protocol, versions 1 to 3: messages, two codecs and error codes; `docs/protocol.md` explains them.

Invariants: every message is an object with a `type`; unknown fields and unknown types are refused. Must not know
sockets, sessions or the log: clients import it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

import msgspec

from powerflock.domain.columns import CommandRow, Int64, ReadingRow
from powerflock.domain.errors import InvalidInput, ProtocolError
from powerflock.domain.outcomes import Status

VERSIONS = (1, 2, 3)
POLICY_VERSION = 2
"""From this version on a client understands `policy`."""
COLUMNS_VERSION = 3
"""From this version on a client may send `columns`."""
PATH = "/v1"
MAX_FRAME_BYTES = 65_536


class Code(StrEnum):
    """What went wrong; the comment says whether the session lives on."""

    BAD_FRAME = "bad_frame"  # lives
    TOO_LARGE = "too_large"  # lives
    INVALID_READING = "invalid_reading"  # lives: that batch is refused
    UNKNOWN_DEVICE = "unknown_device"  # lives: that batch is refused
    OVER_CREDIT = "over_credit"  # lives: that batch is refused
    HELLO_REQUIRED = "hello_required"  # fatal
    UNAUTHORISED = "unauthorised"  # fatal
    UNSUPPORTED_VERSION = "unsupported_version"  # fatal
    REPLACED = "replaced"  # fatal: a newer session of the same site
    LOG_UNAVAILABLE = "log_unavailable"  # fatal: send again in a new session
    TOO_MANY_ERRORS = "too_many_errors"  # fatal


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """The client's first message: the versions it speaks, its site and token, and what software it is."""

    versions: list[int]
    site: str
    token: str
    agent: str = ""


class Readings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="readings"):
    """Readings under a number of the client's choice, by which they are acknowledged or refused together."""

    batch: Int64
    rows: list[ReadingRow]


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="columns"):
    """Readings as `Readings` has them, column by column as little-endian bytes; base64 in JSON. Unknown is NaN.

    `device` holds positions in `devices`; a limit or capacity that is left out is unknown for all.
    """

    batch: Int64
    devices: list[str]
    device: bytes
    seq: bytes
    time_us: bytes
    power_kw: bytes
    energy_kwh: bytes
    charge_limit_kw: bytes = b""
    discharge_limit_kw: bytes = b""
    capacity_kwh: bytes = b""


class CommandAck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="command_ack"):
    """What became of a command at the edge."""

    seq: Int64
    status: Status
    reason: str = ""


class Welcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="welcome"):
    """The session is open: the plant's time (µs UTC) and its speed, the credits, and how often to send readings."""

    version: int
    session: str
    time_us: int
    speed: float
    credits: int
    interval_us: int
    max_frame_bytes: int = MAX_FRAME_BYTES


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ack"):
    """The batch is in the log for good; `credits` readings may be unacknowledged from now on."""

    batch: int
    credits: int


class Command(CommandRow, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="command"):
    """A command to the site; see `CommandRow`."""


class PolicyFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="policy"):
    """What the site does by itself once no command holds: the bytes of a `domain.policy.Policy`; base64 in JSON."""

    epoch: Int64
    policy: bytes


class Error(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", tag="error"):
    """What was wrong. With `batch`, that batch is refused; `rows` are the positions of its offending readings."""

    code: str
    message: str
    fatal: bool
    batch: int | None = None
    rows: list[int] = []


ClientMessage: TypeAlias = Hello | Readings | Columns | CommandAck
ServerMessage: TypeAlias = Welcome | Ack | Command | PolicyFrame | Error
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Codec:
    """How messages become frames under one WebSocket subprotocol; `binary` frames or text."""

    subprotocol: str
    binary: bool
    encode: Callable[[ClientMessage | ServerMessage], bytes]
    _client: Callable[[bytes], ClientMessage]
    _server: Callable[[bytes], ServerMessage]

    def decode_client(self, frame: bytes, limit: int = MAX_FRAME_BYTES) -> ClientMessage:
        """A client's message; `ProtocolError` (`too_large`, `bad_frame`) says what is wrong and where."""
        return _decode(self._client, frame, limit)

    def decode_server(self, frame: bytes, limit: int = MAX_FRAME_BYTES) -> ServerMessage:
        """A server's message; `ProtocolError` as above."""
        return _decode(self._server, frame, limit)


JSON = Codec(
    "powerflock.v1.json",
    binary=False,
    encode=msgspec.json.Encoder().encode,
    _client=msgspec.json.Decoder(ClientMessage).decode,
    _server=msgspec.json.Decoder(ServerMessage).decode,
)
MSGPACK = Codec(
    "powerflock.v1.msgpack",
    binary=True,
    encode=msgspec.msgpack.Encoder().encode,
    _client=msgspec.msgpack.Decoder(ClientMessage).decode,
    _server=msgspec.msgpack.Decoder(ServerMessage).decode,
)
CODECS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}


def choose_codec(offered: str) -> Codec:
    """The first codec of a `Sec-WebSocket-Protocol` header's comma-separated list that we speak, or `InvalidInput`."""
    for name in offered.split(","):
        if name.strip() in CODECS:
            return CODECS[name.strip()]
    raise InvalidInput("Sec-WebSocket-Protocol", offered, f"must offer one of {', '.join(CODECS)}")


def _decode(decoder: Callable[[bytes], M], frame: bytes, limit: int) -> M:
    check_size(len(frame), limit)
    try:
        return decoder(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(Code.BAD_FRAME, f"the frame is no message of this protocol: {error}") from error


def check_size(size: int, limit: int) -> None:
    """Raise `ProtocolError` (`too_large`) if a message of `size` bytes is over `limit`."""
    if size > limit:
        raise ProtocolError(Code.TOO_LARGE, f"the message has {size} bytes; the limit is {limit}: split it")
