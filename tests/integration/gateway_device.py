"""A device and a plant around it for the gateway's tests: real sockets, an invented directory, a log to hold up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import numpy as np
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode
from powerflock.domain.clock import VirtualClock
from powerflock.domain.columns import SITE_EVENT, TELEMETRY, ReadingRow, SiteEventKind
from powerflock.domain.errors import LogError
from powerflock.gateway.packed import VALUES
from powerflock.gateway.protocol import (
    JSON,
    Ack,
    ClientMessage,
    Codec,
    Columns,
    CommandAck,
    Error,
    Hello,
    Readings,
    ServerMessage,
    Welcome,
)
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import Address, GatewayOptions
from powerflock.gateway.tokens import issue
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Claim, Log

SECRET = b"a secret only for the tests"
START_US = 1_767_225_600_000_000
FAST = GatewayOptions(batch_ms=5)
T = TypeVar("T")


class Spot(NamedTuple):
    """An address in the invented directory."""

    partition: int
    row: int
    devices: dict[str, int]


class Homes:
    """Sites `home-0` … `home-99`, a battery and a meter each, alternating between two partitions."""

    def resolve(self, site: str) -> Spot | None:
        name, _, digits = site.partition("-")
        if name != "home" or not digits.isdigit() or int(digits) >= 100:
            return None
        number = int(digits)
        row = number // 2
        return Spot(number % 2, row, {"battery": 2 * row, "meter": 2 * row + 1})


class HeldLog(MemoryLog):
    """A log whose writes wait until `gate` is set, and fail while `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.broken = threading.Event(), False
        self.gate.set()

    def transact(
        self,
        entries: Sequence[tuple[str, int, bytes]],
        commits: Sequence[tuple[str, str, int, int]] = (),
        claim: Claim | None = None,
    ) -> list[int]:
        self.gate.wait()
        if self.broken:
            raise LogError("the disk is full")
        return super().transact(entries, commits, claim)


class Acks(list[tuple[str, int, CommandAck]]):
    """Command acknowledgements as (site, row, ack)."""

    def __call__(self, site: str, address: Address, ack: CommandAck) -> None:
        self.append((site, address.row, ack))


class Plant(NamedTuple):
    """A running gateway and what it was given."""

    gateway: Gateway
    port: int
    log: Log
    acks: Acks


@asynccontextmanager
async def plant(log: Log | None = None, options: GatewayOptions = FAST) -> AsyncIterator[Plant]:
    """A gateway on a free port, stopped at the end."""
    kept, acks = log or MemoryLog(), Acks()
    gateway = Gateway(kept, Homes(), VirtualClock(START_US, 60.0), SECRET, acks, options)
    port = await gateway.start("127.0.0.1", 0)
    try:
        yield Plant(gateway, port, kept, acks)
    finally:
        await gateway.stop()


class Device(WSListener):
    """One client socket; messages arrive in `inbox`, and `closed` tells with which code the server ended it."""

    def __init__(self, codec: Codec = JSON) -> None:
        super().__init__()
        self.codec = codec
        self.inbox: asyncio.Queue[ServerMessage] = asyncio.Queue()
        self.closed: asyncio.Future[WSCloseCode] = asyncio.get_running_loop().create_future()
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            if not self.closed.done():
                self.closed.set_result(frame.get_close_code())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self.inbox.put_nowait(self.codec.decode_server(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.closed.done():
            self.closed.set_result(WSCloseCode.ABNORMAL_CLOSURE)

    def send(self, message: ClientMessage) -> None:
        self.send_raw(self.codec.encode(message))

    def send_raw(self, frame: bytes) -> None:
        self.transport.send(WSMsgType.BINARY if self.codec.binary else WSMsgType.TEXT, frame)

    async def expect(self, kind: type[T]) -> T:
        """The next message, which must be of `kind`."""
        message = await asyncio.wait_for(self.inbox.get(), 5)
        assert isinstance(message, kind), message
        return message

    async def refused(self, code: str, *, fatal: bool = False) -> Error:
        error = await self.expect(Error)
        assert (error.code, error.fatal) == (code, fatal), error
        if fatal:
            await asyncio.wait_for(self.closed, 5)
        return error

    async def silent(self, seconds: float = 0.1) -> None:
        """Nothing arrives for a while."""
        with contextlib.suppress(TimeoutError):
            raise AssertionError(await asyncio.wait_for(self.inbox.get(), seconds))


async def connect(port: int, codec: Codec = JSON) -> Device:
    """A socket to the gateway, before its hello."""
    _, device = await ws_connect(
        lambda: Device(codec), f"ws://127.0.0.1:{port}/v1", extra_headers={"Sec-WebSocket-Protocol": codec.subprotocol}
    )
    assert isinstance(device, Device)
    return device


async def join(port: int, site: str = "home-0", codec: Codec = JSON) -> Device:
    """An open session of `site`."""
    device = await connect(port, codec)
    device.send(Hello([1], site, issue(SECRET, site), "test"))
    await device.expect(Welcome)
    return device


def columns(batch: int, rows: Sequence[ReadingRow]) -> Columns:
    """The same readings as columns."""
    names = sorted({row.device for row in rows})
    cells = {name: [getattr(row, name) for row in rows] for name in VALUES}
    packed = {name: np.array(cells[name], TELEMETRY[name].newbyteorder("<")).tobytes() for name in VALUES}
    positions = np.array([names.index(row.device) for row in rows], "<u2")
    return Columns(batch, names, positions.tobytes(), **packed)


def readings(batch: int, seqs: Sequence[int] = (1,), device: str = "battery") -> Readings:
    """A batch of plausible readings."""
    return Readings(batch, [ReadingRow(device, seq, START_US + seq, 1.5, 4.25, 3.0, None, None) for seq in seqs])


async def eventually(happened: Callable[[], bool]) -> None:
    """Wait, at most 5 s, for something that nobody announces."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - the tests look from outside
            await asyncio.sleep(0.001)


async def acked(device: Device, batch: int) -> None:
    """The next message acknowledges `batch`."""
    assert (await device.expect(Ack)).batch == batch


def logged_batches(log: Log, partition: int = 0) -> list[Records]:
    """The entries of readings in the log's partition, without those of sessions and answers."""
    entries = log.read("telemetry", partition, 0)
    batches = [decode(entry.payload, TELEMETRY, SITE_EVENT) for entry in entries]
    return [batch for batch in batches if batch.dtype == TELEMETRY]


def logged_events(log: Log, partition: int = 0) -> list[tuple[int, SiteEventKind, int]]:
    """Row, kind and number of the events of sites in the log's partition."""
    batches = [decode(entry.payload, TELEMETRY, SITE_EVENT) for entry in log.read("telemetry", partition, 0)]
    events = [event for batch in batches if batch.dtype == SITE_EVENT for event in batch.tolist()]
    return [(site, SiteEventKind(kind), seq) for site, kind, _, seq, _ in events]
