"""One device session as a state machine: a frame and a time in, exactly one answer or piece of work out.

Invariants: nothing but `hello` is understood before a good `hello`; readings beyond the credits, of a device that the
site does not have, or malformed never leave the session; a bad frame harms no other. Must not know sockets or the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec
import numpy as np

from powerflock.domain.arrays import Records
from powerflock.domain.clock import Clock
from powerflock.domain.columns import ReadingRow
from powerflock.domain.errors import ProtocolError
from powerflock.gateway import packed
from powerflock.gateway.protocol import (
    COLUMNS_VERSION,
    MAX_FRAME_BYTES,
    VERSIONS,
    Ack,
    ClientMessage,
    Code,
    Codec,
    Columns,
    CommandAck,
    Error,
    Hello,
    Readings,
    Welcome,
)
from powerflock.gateway.tokens import verify


class Address(Protocol):
    """Where an enrolled site's columns are."""

    @property
    def partition(self) -> int:
        """The partition of the site."""

    @property
    def row(self) -> int:
        """The site's row in its partition."""

    @property
    def devices(self) -> Mapping[str, int]:
        """Device index within the partition, by the device's wire name."""


class Directory(Protocol):
    """Who is enrolled."""

    def resolve(self, site: str) -> Address | None:
        """The site's address, or `None` if it is not enrolled; cheap, called once a session."""


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How the gateway batches, limits and watches its sessions. `interval_us` is in the plant's time."""

    batch_ms: int = 50
    batch_rows: int = 10_000
    max_frame_bytes: int = MAX_FRAME_BYTES
    credits: int = 512
    interval_us: int = 1_000_000
    hello_timeout_s: float = 10.0
    idle_timeout_s: float = 5.0
    pong_timeout_s: float = 3.0
    """A session that says nothing so long is asked, and cut without an answer: a cut cable shows in 8 s."""
    gateway: int = 0
    """Number of this gateway among those of the plant."""
    partitions: int = 0
    """Partitions whose links of an earlier life of this gateway are declared down at the start."""
    max_errors: int = 20
    """Frames refused in a row after which the session is closed."""


class Submission(msgspec.Struct, frozen=True, eq=False):
    """Readings taken within the session's credits, to be logged and then settled; `devices[i]` sent `rows[i]`.

    Those that came as columns are `TELEMETRY` records already, and name their devices themselves.
    """

    session: Session
    batch: int
    partition: int
    devices: list[int]
    rows: list[ReadingRow] | Records
    received_us: int


Result: TypeAlias = Welcome | Submission | CommandAck | Error


class Session:
    """The protocol's state for one connection; `number` is its public name.

    Once open, `site`, `address` and `route` (partition, row) say whose it is, and `version` what it speaks.
    """

    def __init__(
        self,
        number: str,
        codec: Codec,
        clock: Clock,
        directory: Directory,
        secret: bytes,
        options: GatewayOptions,
    ) -> None:
        self.codec, self.site = codec, ""
        self.address: Address | None = None
        self.route, self.version = (-1, -1), 0
        self._number, self._clock, self._directory = number, clock, directory
        self._secret, self._options = secret, options
        self._outstanding = self._errors = 0

    def receive(self, frame: bytes) -> Result:
        """What the frame means: a welcome or error to send, readings to log, or a command's acknowledgement."""
        try:
            return self._interpret(self.codec.decode_client(frame, self._options.max_frame_bytes))
        except ProtocolError as error:
            return self.refuse(Error(error.code, str(error), error.fatal))

    def settle(self, submission: Submission, error: Error | None) -> Ack | Error:
        """The submission's readings are no longer outstanding: the answer is an ack, or the `error` that befell it."""
        self._outstanding -= len(submission.rows)
        if error is not None:
            return self.refuse(error)
        self._errors = 0
        return Ack(submission.batch, self._options.credits)

    def refuse(self, error: Error) -> Error:
        """The error to send for a refused frame: the last of too many in a row is fatal whatever it was."""
        self._errors += 1
        if error.fatal or self._errors < self._options.max_errors:
            return error
        text = f"{self._errors} frames in a row were refused; the last: {error.message}"
        return Error(Code.TOO_MANY_ERRORS, text, fatal=True, batch=error.batch, rows=error.rows)

    def _interpret(self, message: ClientMessage) -> Result:
        if isinstance(message, Hello):
            return self._open(message)
        if self.address is None:
            raise ProtocolError(Code.HELLO_REQUIRED, "the first message must be hello", fatal=True)
        if isinstance(message, CommandAck):
            return message
        return self._take(message, self.address)

    def _open(self, hello: Hello) -> Welcome:
        if self.address is not None:
            raise ProtocolError(Code.BAD_FRAME, "hello was already said in this session")
        common = set(VERSIONS) & set(hello.versions)
        if not common:
            text = f"this gateway speaks versions {list(VERSIONS)}; the client offers {hello.versions}"
            raise ProtocolError(Code.UNSUPPORTED_VERSION, text, fatal=True)
        address = self._directory.resolve(hello.site) if verify(self._secret, hello.site, hello.token) else None
        if address is None:
            text = f"site {hello.site!r} is not enrolled, or the token is not its own"
            raise ProtocolError(Code.UNAUTHORISED, text, fatal=True)
        self.site, self.address, self.route = hello.site, address, (address.partition, address.row)
        self.version = max(common)
        options = self._options
        return Welcome(
            self.version,
            self._number,
            self._clock.now_us(),
            self._clock.speed,
            options.credits,
            options.interval_us,
            options.max_frame_bytes,
        )

    def _take(self, message: Readings | Columns, address: Address) -> Submission | Error:
        if isinstance(message, Columns):
            return self._take_columns(message, address)
        refusal = self._beyond(message.batch, len(message.rows))
        if refusal is not None:
            return refusal
        devices = [address.devices.get(row.device, -1) for row in message.rows]
        if -1 in devices:
            rows = [row for row, device in enumerate(devices) if device == -1]
            return self._stranger(message.batch, rows, message.rows[rows[0]].device, address)
        self._outstanding += len(message.rows)
        return Submission(self, message.batch, address.partition, devices, message.rows, self._clock.now_us())

    def _take_columns(self, message: Columns, address: Address) -> Submission | Error:
        if self.version < COLUMNS_VERSION:
            text = f"columns need version {COLUMNS_VERSION}; this session speaks {self.version}"
            raise ProtocolError(Code.BAD_FRAME, text)
        count = packed.count(message)
        refusal = self._beyond(message.batch, count)
        if refusal is not None:
            return refusal
        numbers = packed.device_numbers(message, address.devices)
        if numbers.min() < 0:
            rows = np.flatnonzero(numbers < 0).tolist()
            return self._stranger(message.batch, rows, packed.device_name(message, rows[0]), address)
        now = self._clock.now_us()
        self._outstanding += count
        return Submission(self, message.batch, address.partition, [], packed.unpack(message, numbers, now), now)

    def _beyond(self, batch: int, count: int) -> Error | None:
        """The refusal of a batch of `count` readings where the credits left are fewer."""
        if not count:
            raise ProtocolError(Code.BAD_FRAME, f"batch {batch} has no readings")
        free = self._options.credits - self._outstanding
        if count <= free:
            return None
        advice = f"{free} credits are left: wait for an ack"
        if count > self._options.credits:
            advice = f"a batch may have at most {self._options.credits}: split it"
        text = f"batch {batch} has {count} readings; {advice}"
        return self.refuse(Error(Code.OVER_CREDIT, text, fatal=False, batch=batch))

    def _stranger(self, batch: int, rows: list[int], first: str, address: Address) -> Error:
        """The refusal of a batch in which `rows`, the first of them of device `first`, are of devices not enrolled."""
        text = f"batch {batch}, row {rows[0]}: device {first!r} is unknown; the site has {', '.join(address.devices)}"
        return self.refuse(Error(Code.UNKNOWN_DEVICE, text, fatal=False, batch=batch, rows=rows))
