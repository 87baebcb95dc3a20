"""What was: series of a group or a device from the history, exports of it, and which hours were revised.

Its source does heavy work in threads, a few questions at a time: more wait, and beyond a bound they are refused.
Invariants: an answer that fails does so before its first byte, or is cut short, never wrong. Must not know where the
history is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import closing
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from powerflock.api.openapi import body_of
from powerflock.api.problems import TooManyStreams
from powerflock.api.series_models import MethodName, RevisionRow, SeriesColumns
from powerflock.domain.clock import from_rfc3339
from powerflock.domain.errors import InvalidInput

T = TypeVar("T")
FormatName = Literal["arrow", "parquet", "csv"]
AT_ONCE, WAITING, EXPORTS = 2, 16, 4
MEDIA_TYPES: dict[FormatName, str] = {
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
}


class _Spanned(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: str = Field(alias="from", description="First moment, RFC 3339.")
    end: str = Field(alias="to", description="Moment after the last, RFC 3339.")

    @property
    def span_us(self) -> tuple[int, int]:
        """Both moments; `InvalidInput` where one is no time."""
        return from_rfc3339(self.start), from_rfc3339(self.end)


class SubjectQuery(_Spanned):
    """A group by name, or a device (its meter if not named) of a site, over a time."""

    group: str | None = Field(default=None, min_length=1, max_length=512)
    site: str | None = Field(default=None, min_length=1, max_length=64)
    device: str = Field(default="meter", min_length=1, max_length=32)

    def check(self) -> None:
        """`InvalidInput` unless it names either a group or a site."""
        if (self.group is None) == (self.site is None):
            raise InvalidInput("query", f"group={self.group}, site={self.site}", "must name either a group or a site")


class SeriesQuery(SubjectQuery):
    """One column as at most so many points."""

    column: str = Field(default="power_kw", min_length=1, max_length=64)
    points: int = Field(default=1000, ge=8, le=20_000)
    method: MethodName = "minmax"
    gap_s: float = Field(default=900.0, gt=0.0, le=1e9, allow_inf_nan=False)


class ExportQuery(SubjectQuery):
    """All columns and rows, as a file."""

    format: FormatName = "csv"


class RevisionsQuery(_Spanned):
    """Hours in the time given that were revised after `since`, of one site or group or of all."""

    name: str | None = Field(default=None, min_length=1, max_length=512)
    since: str | None = None


class SeriesSource(Protocol):
    """What the API asks of the history. Each method may be called from any thread, and takes its time.

    Raises `InvalidInput` for what cannot be asked, `NotFound` while there is no history, `HistoryError` where it fails.
    """

    def series(self, query: SeriesQuery) -> SeriesColumns:
        """One column of a group or device."""

    def export(self, query: ExportQuery) -> Generator[bytes, None, None]:
        """A file of all columns, piece by piece."""

    def revisions(self, query: RevisionsQuery) -> Sequence[RevisionRow]:
        """Revised hours, oldest first."""


class _Bounded:
    """Runs heavy work in threads: so many at once, so many waiting, and no more."""

    def __init__(self) -> None:
        self.exports = self._asked = 0
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or `TooManyStreams` at once."""
        if self._asked >= AT_ONCE + WAITING:
            raise TooManyStreams(f"{WAITING} questions to the history wait already; try again later")
        self._asked += 1
        try:
            return await self.go_on(work)
        finally:
            self._asked -= 1

    async def go_on(self, work: Callable[[], T]) -> T:
        """What `work`, a further part of something accepted, returns in its turn."""
        if self._limiter is None:  # needs a running event loop
            self._limiter = CapacityLimiter(AT_ONCE)
        return await to_thread.run_sync(work, limiter=self._limiter)


class _Export(StreamingResponse):
    """A file sent piece by piece; one of so many at once."""

    def __init__(self, pieces: Generator[bytes, None, None], first: bytes, bounded: _Bounded, kind: FormatName) -> None:
        self._pieces, self._bounded = pieces, bounded
        name = f"powerflock.{kind}"
        headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
        super().__init__(self._rest(first), headers=headers, media_type=MEDIA_TYPES[kind])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all, or as much as the client takes."""
        try:
            with closing(self._pieces):
                await super().__call__(scope, receive, send)
        finally:
            self._bounded.exports -= 1

    async def _rest(self, first: bytes) -> AsyncIterator[bytes]:
        piece: bytes | None = first
        while piece is not None:
            yield piece
            piece = await self._bounded.go_on(lambda: next(self._pieces, None))


def series_routes(source: SeriesSource) -> APIRouter:
    """The routes over `source`."""
    routes, bounded = APIRouter(), _Bounded()

    @routes.get("/series", responses=body_of(SeriesColumns))
    async def series(query: Annotated[SeriesQuery, Query()]) -> Response:
        """One column of a group or device over time, downsampled; null is a gap."""
        query.check()
        return _json(await bounded.run(lambda: source.series(query)))

    @routes.get("/export", responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}})
    async def export(query: Annotated[ExportQuery, Query()]) -> Response:
        """All columns and rows of a group or device, streamed as a file."""
        query.check()
        if bounded.exports >= EXPORTS:
            raise TooManyStreams(f"{EXPORTS} exports are under way already; try again later")
        bounded.exports += 1
        try:
            pieces = source.export(query)
            first = await bounded.run(lambda: next(pieces, b""))
        except BaseException:
            bounded.exports -= 1
            raise
        return _Export(pieces, first, bounded, query.format)

    @routes.get("/revisions", responses=body_of(RevisionRow, many=True))
    async def revisions(query: Annotated[RevisionsQuery, Query()]) -> Response:
        """Hours of sites and groups for which readings came late, and when."""
        return _json(await bounded.run(lambda: source.revisions(query)))

    return routes


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"cache-control": "no-store"})
