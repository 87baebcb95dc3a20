"""The client's side of wire protocol 2, written from docs/protocol.md: what a home sends and what it understands.

Invariants: what is sent carries only documented fields; what is received may carry fields of later versions, which are
passed over. Must not know sockets, nor import the gateway: the two sides check each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from powerflock.domain.columns import Int64, Issuer, ReadingRow
from powerflock.domain.errors import InvalidInput

VERSIONS = [2, 1]


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """First message of a session."""

    versions: list[int]
    site: str
    token: str
    agent: str


class Readings(msgspec.Struct, frozen=True, tag_field="type", tag="readings"):
    """A batch of readings, acknowledged or refused together."""

    batch: int
    rows: list[ReadingRow]


class CommandAck(msgspec.Struct, frozen=True, tag_field="type", tag="command_ack"):
    """What became of a command."""

    seq: int
    status: str
    reason: str = ""


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """The session is open, with the plant's clock and how many readings may be unacknowledged."""

    version: int
    session: str
    time_us: int
    speed: float
    credits: int
    interval_us: int
    max_frame_bytes: int


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """The batch is durable."""

    batch: int
    credits: int


class Command(msgspec.Struct, frozen=True, tag_field="type", tag="command"):
    """Net power wanted at the connection point, passive kW, for a bounded time."""

    seq: Int64
    setpoint_kw: float
    price_per_kwh: float | None
    not_before_us: Int64
    expires_us: Int64
    epoch: Int64
    issuer: Issuer


class Policy(msgspec.Struct, frozen=True, tag_field="type", tag="policy"):
    """What the home does by itself once no command holds."""

    epoch: Int64
    policy: bytes


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A refusal; with `batch`, of that batch; `fatal` means that the session ends."""

    code: str
    message: str
    fatal: bool = False
    batch: int | None = None


Sent: TypeAlias = Hello | Readings | CommandAck
Received: TypeAlias = Welcome | Ack | Command | Policy | Error


@dataclass(frozen=True, slots=True)
class Codec:
    """Messages ⇄ frames; `binary` frames or text. `decode` raises msgspec.DecodeError."""

    subprotocol: str
    binary: bool
    encode: Callable[[Sent], bytes]
    decode: Callable[[bytes], Received]


_CODECS = {
    "json": Codec(
        "powerflock.v1.json", False, msgspec.json.Encoder().encode, msgspec.json.Decoder(Received).decode  # noqa: FBT003
    ),
    "msgpack": Codec(
        "powerflock.v1.msgpack", True, msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Received).decode  # noqa: FBT003
    ),
}  # fmt: skip


def codec(name: str) -> Codec:
    """The codec called `json` or `msgpack`; any other name is `InvalidInput`."""
    if name not in _CODECS:
        raise InvalidInput("codec", name, f"must be one of {', '.join(_CODECS)}")
    return _CODECS[name]
