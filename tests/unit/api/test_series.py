"""The past over HTTP: columns with null for gaps, files that stream, and bounds that say what to do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from pathlib import Path

import httpx
import pytest

from powerflock.api.app import create_app
from powerflock.api.series import EXPORTS, ExportQuery, RevisionsQuery, SeriesQuery
from powerflock.api.series_models import RevisionRow, SeriesColumns
from powerflock.domain.errors import HistoryError, NotFound
from tests.fake_view import FakeView

DAY = {"from": "2026-01-15T00:00:00Z", "to": "2026-01-16T00:00:00Z"}
TO_US = 1_768_521_600_000_000


class FakeHistory:
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.opened = self.closed = 0

    def series(self, query: SeriesQuery) -> SeriesColumns:
        self.go_on.wait(30)
        if self.failure:
            raise self.failure
        of = query.group or f"{query.site}/{query.device}"
        return SeriesColumns(of, query.column, query.method, 3, list(query.span_us), [1.5, float("nan")])

    def export(self, query: ExportQuery) -> Generator[bytes, None, None]:
        self.opened += 1
        return self._pieces()

    def _pieces(self) -> Generator[bytes, None, None]:
        try:
            if self.failure:
                raise self.failure
            yield b"time_us,power_kw\n"
            self.go_on.wait(30)
            yield b"1,2.0\n"
        finally:
            self.closed += 1

    def revisions(self, query: RevisionsQuery) -> Sequence[RevisionRow]:
        return [RevisionRow("site", query.name or "all", "2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z", 4)]


async def until(ready: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    async with asyncio.timeout(30):
        for _ in iter(ready, True):
            await asyncio.sleep(0.01)


@pytest.fixture
def past() -> FakeHistory:
    return FakeHistory()


@pytest.fixture
async def client(past: FakeHistory) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(FakeView(now=lambda: TO_US), "key", None, history=past)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://plant/api/v1", timeout=30) as client:
        yield client


async def test_a_series_is_columns_and_unknown_is_null(client: httpx.AsyncClient) -> None:
    answer = await client.get("/series", params={"group": "portfolio", "points": 100, **DAY})
    assert answer.json() == {
        "of": "portfolio", "column": "power_kw", "method": "minmax", "rows": 3,
        "time_us": [TO_US - 86_400_000_000, TO_US], "value": [1.5, None],
    }  # fmt: skip
    device = await client.get("/series", params={"site": "h0", "device": "solar", "method": "mean", **DAY})
    assert (device.json()["of"], device.json()["method"]) == ("h0/solar", "mean")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group": None}, "must name either a group or a site"),
        ({"site": "h0"}, "must name either a group or a site"),
        ({"points": "3"}, "points"),
        ({"method": "guess"}, "method"),
        ({"from": "yesterday"}, "must be RFC 3339"),
        ({"from": None}, "from"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, changes: dict[str, str | None], said: str
) -> None:
    asked = {"group": "portfolio", **DAY, **changes}
    answer = await client.get("/series", params={key: value for key, value in asked.items() if value is not None})
    assert answer.status_code == 400
    assert said in json.loads(answer.content)["detail"]


@pytest.mark.parametrize(("failure", "status"), [(NotFound("none yet"), 404), (HistoryError("no disk"), 503)])
@pytest.mark.parametrize("path", ["/series", "/export"])
async def test_a_history_that_is_missing_or_fails_says_so(
    client: httpx.AsyncClient, past: FakeHistory, failure: Exception, status: int, path: str
) -> None:
    past.failure = failure
    answer = await client.get(path, params={"group": "portfolio", **DAY})
    assert answer.status_code == status
    assert str(failure) in answer.json()["detail"]


async def test_an_export_is_a_file_and_gives_its_place_back(client: httpx.AsyncClient, past: FakeHistory) -> None:
    for _ in range(EXPORTS + 1):
        answer = await client.get("/export", params={"group": "portfolio", "format": "csv", **DAY})
        assert answer.text == "time_us,power_kw\n1,2.0\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="powerflock.csv"'
    assert past.closed == EXPORTS + 1


async def test_too_many_exports_at_once_are_refused_and_the_others_end(
    client: httpx.AsyncClient, past: FakeHistory
) -> None:
    past.go_on.clear()
    asked = {"group": "portfolio", **DAY}
    running = [asyncio.create_task(client.get("/export", params=asked)) for _ in range(EXPORTS)]
    await until(lambda: past.opened == EXPORTS)
    refused = await client.get("/export", params=asked)
    past.go_on.set()
    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    assert [answer.status_code for answer in await asyncio.gather(*running)] == [200] * EXPORTS


async def test_too_many_questions_at_once_are_refused(client: httpx.AsyncClient, past: FakeHistory) -> None:
    """Of 30, two are worked on and 16 wait."""
    past.go_on.clear()
    asked = {"group": "portfolio", **DAY}
    running = [asyncio.create_task(client.get("/series", params=asked)) for _ in range(30)]
    await until(lambda: sum(task.done() for task in running) == 12)
    past.go_on.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*running)]
    assert (statuses.count(200), statuses.count(503)) == (18, 12)


async def test_revisions_are_listed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/revisions", params={"name": "h0", **DAY})
    assert [(row["name"], row["readings"]) for row in answer.json()] == [("h0", 4)]


async def test_the_document_describes_the_past(client: httpx.AsyncClient) -> None:
    document = (await client.get("http://plant/api/openapi.json")).json()
    assert {"/api/v1/series", "/api/v1/export", "/api/v1/revisions"} <= set(document["paths"])
    assert {"SeriesColumns", "RevisionRow"} <= set(document["components"]["schemas"])


async def test_a_plant_without_history_has_no_such_routes(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(create_app(FakeView(now=lambda: TO_US), "key", None))
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        assert (await client.get("/api/v1/series", params={"group": "portfolio", **DAY})).status_code == 404
