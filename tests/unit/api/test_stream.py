"""What a listener of the 1 Hz stream can count on."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from starlette.types import Message

from powerflock.api.models import State
from powerflock.api.problems import TooManyStreams
from powerflock.api.stream import Broadcaster, StreamResponse
from tests.fake_view import FakeView

PERIOD_S = 0.02


class Listener:
    """One connection: keeps what it was sent; takes no bytes while not `free`."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.left = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self._more = asyncio.Condition()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            await self.free.wait()
            self.frames.append(message["body"])
            async with self._more:
                self._more.notify_all()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(5), self._more:
            await self._more.wait_for(lambda: len(self.frames) >= count)


def follow(source: Broadcaster, listener: Listener) -> asyncio.Task[None]:
    return asyncio.create_task(StreamResponse(source)({"type": "http"}, listener.receive, listener.send))


async def test_listeners_share_one_encoding_and_get_a_state_at_once() -> None:
    view, calls = FakeView(), 0

    def state() -> State:
        nonlocal calls
        calls += 1
        return view.state()

    source = Broadcaster(state, period_s=PERIOD_S)
    first, second = Listener(), Listener()
    tasks = [follow(source, first), follow(source, second)]
    await first.has(5)
    await second.has(5)
    assert calls <= len(first.frames) + 1
    assert first.frames[0].startswith(b"retry:")
    assert first.frames[2] is second.frames[2]
    data = first.frames[1].removeprefix(b"data: ").removesuffix(b"\n\n")
    assert msgspec.json.decode(data, type=State).sites == 1000
    for listener in (first, second):
        listener.left.set()
    await asyncio.gather(*tasks)
    assert source.listeners == 0
    seen = calls
    await asyncio.sleep(3 * PERIOD_S)
    assert calls == seen


async def test_a_stuck_listener_is_dropped_and_disturbs_nobody() -> None:
    source = Broadcaster(FakeView().state, period_s=PERIOD_S, patience_s=0.1)
    stuck, good = Listener(), Listener()
    stuck.free.clear()
    tasks = [follow(source, stuck), follow(source, good)]
    await good.has(3)
    await asyncio.wait_for(tasks[0], 5)
    assert source.dropped == 1
    assert stuck.frames == []
    count = len(good.frames)
    await good.has(count + 2)
    good.left.set()
    await tasks[1]


async def test_a_failing_state_is_counted_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    view = FakeView()
    source = Broadcaster(view.state, period_s=PERIOD_S)
    listener = Listener()
    task = follow(source, listener)
    await listener.has(2)
    view.fail = RuntimeError("secret")
    await listener.has(len(listener.frames) + 3)
    assert listener.frames[-1].startswith(b":")
    assert b"secret" not in listener.frames[-1]
    assert source.failures >= 1
    assert f"failures_total {source.failures}" in source.metrics()
    view.fail = None
    await listener.has(len(listener.frames) + 3)
    assert listener.frames[-1].startswith(b"data:")
    listener.left.set()
    await task


async def test_places_are_bounded() -> None:
    source = Broadcaster(FakeView().state, most=1)
    source.join()
    with pytest.raises(TooManyStreams, match="all 1 places"):
        StreamResponse(source)
    source.leave()
    assert source.listeners == 0
