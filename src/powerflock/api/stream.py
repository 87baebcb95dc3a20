"""The 1 Hz stream: one State is encoded per second, whoever listens, and every listener gets those same bytes.

Invariants: nothing is queued per listener. A listener that is not ready skips to the newest frame; one that takes no
bytes for `patience_s` is dropped. The ticker runs only while somebody listens. Must not know what a State holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from powerflock.api.models import State
from powerflock.api.problems import TooManyStreams

LOGGER = logging.getLogger(__name__)
HEAD = b"retry: 1000\n\n"
FAILED = b": the state could not be read\n\n"


class Broadcaster:
    """Encodes the state once per `period_s` and shows the newest frame to all listeners."""

    def __init__(
        self, state: Callable[[], State], *, period_s: float = 1.0, patience_s: float = 10.0, most: int = 256
    ) -> None:
        """Serve `state()` to at most `most` listeners."""
        self.patience_s = patience_s
        self.listeners = self.dropped = self.failures = 0
        self._state, self._period_s, self._most = state, period_s, most
        self._frame, self._number = b"", 0
        self._news = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Take a place at the stream, or `TooManyStreams`; to be given back with `leave`."""
        if self.listeners >= self._most:
            message = f"all {self._most} places at the stream are taken; try again later or poll /api/v1/state"
            raise TooManyStreams(message)
        self.listeners += 1
        if self._ticker is None:
            self._publish()
            self._ticker = asyncio.create_task(self._tick(), name="state stream")

    def leave(self) -> None:
        """Give the place back; the last one stops the ticker."""
        self.listeners -= 1
        if self.listeners == 0 and self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def after(self, number: int) -> tuple[int, bytes]:
        """The newest frame with its number, as soon as it is newer than `number`."""
        while self._number <= number:
            await self._news.wait()
        return self._number, self._frame

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._period_s, loop.time())
            await asyncio.sleep(due - loop.time())
            self._publish()

    def _publish(self) -> None:
        try:
            self._frame = b"data: " + msgspec.json.encode(self._state()) + b"\n\n"
        except Exception:  # supervisor of the stream: counted below; listeners see it go stale, and it goes on
            LOGGER.exception("the state could not be read for the stream")
            self.failures += 1
            self._frame = FAILED
        self._number += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def metrics(self) -> str:
        """Prometheus lines about the stream itself."""
        return (
            "# TYPE powerflock_api_stream_listeners gauge\n"
            f"powerflock_api_stream_listeners {self.listeners}\n"
            "# TYPE powerflock_api_stream_dropped_total counter\n"
            f"powerflock_api_stream_dropped_total {self.dropped}\n"
            "# TYPE powerflock_api_stream_failures_total counter\n"
            f"powerflock_api_stream_failures_total {self.failures}\n"
        )


class StreamResponse(Response):
    """Server-sent events for one listener; returns when it leaves or is dropped."""

    media_type = "text/event-stream"

    def __init__(self, source: Broadcaster) -> None:
        """Take a place at `source`, or `TooManyStreams`."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        source.join()
        self.source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until the listener leaves, or takes none for the source's patience."""
        del scope
        feed = asyncio.create_task(self._feed(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({feed, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.source.leave()
            for task in (feed, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError, TimeoutError):
                    await task

    async def _feed(self, send: Send) -> None:
        number, frame = 0, HEAD
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while True:
            try:
                async with asyncio.timeout(self.source.patience_s):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            except TimeoutError:
                self.source.dropped += 1
                return
            number, frame = await self.source.after(number)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
