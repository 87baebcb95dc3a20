"""What people and programs get from the REST interface, and what they are told when they ask wrongly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from powerflock.api.app import create_app
from powerflock.api.group_models import GroupDetail, GroupRow
from powerflock.api.models import SITE_COLUMNS, History, SiteDetail, SitePage, State
from powerflock.api.paging import LastRow, page_token
from powerflock.api.queries import SitesQuery
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.errors import InvalidInput, LogError
from tests.fake_view import EVENING, FakeView

KEY = "enrol-me"
TARIFF = {"name": "flat", "import_per_kwh": [0.3] * 48, "export_per_kwh": [0.05] * 48}


class Hand:
    """A plant clock that a test moves."""

    def __init__(self) -> None:
        self.now_us = EVENING

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def view(hand: Hand) -> FakeView:
    return FakeView(now=hand)


@pytest.fixture
async def client(view: FakeView, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Powerflock</title>")
    (tmp_path / "assets" / "app-1a2b.js").write_text("export {}")
    transport = httpx.ASGITransport(create_app(view, KEY, tmp_path), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        yield client


def problem_of(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    value: dict[str, object] = json.loads(answer.content)
    assert value["status"] == status
    assert value["title"]
    assert value["detail"]
    return value


def site(name: str, **changes: object) -> dict[str, object]:
    return {"site": name, "feeder": "F1", "region": "R1", "tariff": TARIFF, **changes}


async def test_the_state_is_exactly_the_model_and_moves(client: httpx.AsyncClient, hand: Hand) -> None:
    first = msgspec.json.decode((await client.get("/api/v1/state")).content, type=State)
    hand.now_us += 60 * MICROS_PER_S
    second = msgspec.json.decode((await client.get("/api/v1/state")).content, type=State)
    assert first.time == "2026-01-20T08:20:00.000Z"
    assert second.time > first.time
    assert second.output.delivered_mw != first.output.delivered_mw


async def test_unknown_numbers_are_null_and_never_zero(client: httpx.AsyncClient, view: FakeView) -> None:
    view.phase = "waiting"
    state = (await client.get("/api/v1/state")).json()
    assert state["output"] == {"target_mw": None, "delivered_mw": None, "up_mw": None, "down_mw": None}
    assert state["bid"] is None


async def test_history_columns_are_equally_long_and_in_order(client: httpx.AsyncClient) -> None:
    history = msgspec.json.decode((await client.get("/api/v1/history?minutes=90")).content, type=History)
    assert {len(getattr(history, name)) for name in history.__struct_fields__} == {len(history.time_us)}
    assert all(a < b for a, b in zip(history.time_us, history.time_us[1:], strict=False))
    assert history.time_us[-1] - history.time_us[0] == 90 * 60 * MICROS_PER_S


async def test_paging_walks_every_site_once(client: httpx.AsyncClient) -> None:
    seen: list[str] = []
    query = {"limit": "300"}
    while True:
        page = msgspec.json.decode((await client.get("/api/v1/sites", params=query)).content, type=SitePage)
        seen += [row.site for row in page.sites]
        if page.next_page_token is None:
            break
        query = {"limit": "300", "page_token": page.next_page_token}
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == page.total == 1000


async def test_sites_are_found_by_search_and_freshness(client: httpx.AsyncClient) -> None:
    page = msgspec.json.decode((await client.get("/api/v1/sites?search=HOME-004&limit=5")).content, type=SitePage)
    assert page.total == 10
    silent = msgspec.json.decode((await client.get("/api/v1/sites?freshness=silent")).content, type=SitePage)
    assert {row.freshness for row in silent.sites} == {"silent"}
    assert {row.power_kw for row in silent.sites} == {None}


async def test_sites_are_found_by_state_group_and_numbers_and_sorted_by_them(client: httpx.AsyncClient) -> None:
    query = "command=refused&link=up&reachable=true&group=Bondi&min_power_kw=-1&max_soc_ratio=0.8&sort=-deviation_kw"
    page = msgspec.json.decode((await client.get(f"/api/v1/sites?{query}")).content, type=SitePage)
    assert 0 < page.total < 1000
    assert {(row.command, row.link, row.region) for row in page.sites} == {("refused", "up", "Bondi")}
    assert all(row.power_kw is not None and row.power_kw >= -1.0 for row in page.sites)
    assert all(row.soc_ratio is not None and row.soc_ratio <= 0.8 for row in page.sites)
    known = [row.deviation_kw for row in page.sites if row.deviation_kw is not None]
    assert known == sorted(known, reverse=True)


async def test_pages_go_on_in_the_order_asked_for(client: httpx.AsyncClient) -> None:
    seen: list[float | None] = []
    query = {"limit": "400", "sort": "soc_ratio"}
    while True:
        page = msgspec.json.decode((await client.get("/api/v1/sites", params=query)).content, type=SitePage)
        seen += [row.soc_ratio for row in page.sites]
        if page.next_page_token is None:
            break
        query |= {"page_token": page.next_page_token}
    known = [value for value in seen if value is not None]
    assert len(seen) == page.total == 1000
    assert seen == sorted(known) + [None] * (1000 - len(known))


def test_every_number_of_a_row_can_be_bounded() -> None:
    ends = {name for name in SitesQuery.model_fields if name.startswith(("min_", "max_"))}
    assert ends == {f"{end}_{name}" for end in ("min", "max") for name in SITE_COLUMNS}


async def test_one_site_says_what_was_desired_applied_and_reported_and_when(client: httpx.AsyncClient) -> None:
    detail = msgspec.json.decode((await client.get("/api/v1/sites/home-0042")).content, type=SiteDetail)
    assert detail.times.desired is not None
    assert detail.times.metered is not None
    assert [device.device for device in detail.devices] == ["battery", "solar", "meter"]


async def test_one_group_says_how_much_of_it_is_known(client: httpx.AsyncClient) -> None:
    answer = msgspec.json.decode((await client.get("/api/v1/groups/Bondi")).content, type=GroupDetail)
    assert answer.now.group == "Bondi"
    assert answer.coverage_kw.fresh_kw > 0.0
    assert "nowhere/at/all" in str(problem_of(await client.get("/api/v1/groups/nowhere/at/all"), 404)["detail"])


async def test_one_site_says_why(client: httpx.AsyncClient) -> None:
    detail = msgspec.json.decode((await client.get("/api/v1/sites/home-0042")).content, type=SiteDetail)
    assert detail.now.site == "home-0042"
    assert detail.why


async def test_groups_name_their_parents_first(client: httpx.AsyncClient) -> None:
    rows = msgspec.json.decode((await client.get("/api/v1/groups")).content, type=list[GroupRow])
    known: set[str | None] = {None}
    for row in rows:
        assert row.parent in known
        known.add(row.group)


@pytest.mark.parametrize("path", ["/api/v1/bids?limit=3", "/api/v1/accounts?limit=3"])
async def test_the_newest_rows_come_first(client: httpx.AsyncClient, path: str) -> None:
    rows = (await client.get(path)).json()
    assert [row["interval_start"] for row in rows] == sorted((row["interval_start"] for row in rows), reverse=True)
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/api/v1/sites?limit=0", "limit"),
        ("/api/v1/sites?limit=501", "limit"),
        ("/api/v1/sites?limit=ten", "limit"),
        ("/api/v1/sites?freshness=rotten", "freshness"),
        ("/api/v1/sites?page_token=bogus", "page_token"),
        ("/api/v1/sites?page_token=MTo_", "page_token"),
        ("/api/v1/sites?sort=colour", "sort"),
        ("/api/v1/sites?sort=--site", "sort"),
        ("/api/v1/sites?link=maybe", "link"),
        ("/api/v1/sites?command=done", "command"),
        ("/api/v1/sites?min_power_kw=nan", "min_power_kw"),
        ("/api/v1/sites?min_colour=3", "min_colour"),
        (f"/api/v1/sites?sort=-power_kw&page_token={page_token('site', LastRow(0.0, 'home-0001'))}", "page_token"),
        ("/api/v1/sites?limits=5", "limits"),
        ("/api/v1/history?minutes=nan", "minutes"),
        ("/api/v1/history?minutes=-1", "minutes"),
        ("/api/v1/history?minutes=1e9", "minutes"),
        ("/api/v1/state?verbose=1", "verbose"),
        ("/api/v1/bids?limit=-3", "limit"),
    ],
)
async def test_a_bad_query_is_refused_by_name(client: httpx.AsyncClient, path: str, named: str) -> None:
    value = problem_of(await client.get(path), 400)
    assert value["code"] == "invalid_input"
    assert named in str(value["detail"])


async def test_what_does_not_exist_is_a_404_problem(client: httpx.AsyncClient) -> None:
    assert "nobody" in str(problem_of(await client.get("/api/v1/sites/nobody"), 404)["detail"])
    problem_of(await client.get("/api/v1/nothing"), 404)
    problem_of(await client.get("/docs"), 404)
    problem_of(await client.delete("/api/v1/state"), 405)


async def test_an_unexpected_error_leaks_nothing(client: httpx.AsyncClient, view: FakeView) -> None:
    view.fail = RuntimeError("secret password in /etc")
    answer = await client.get("/api/v1/state")
    value = problem_of(answer, 500)
    assert value["code"] == "internal"
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_a_failing_log_is_a_503(client: httpx.AsyncClient, view: FakeView) -> None:
    view.fail = LogError("disk full")
    assert problem_of(await client.get("/api/v1/state"), 503)["code"] == "log_error"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", f"Basic {KEY}", KEY, "Bearer ünïcode"])
async def test_enrolment_needs_the_key(client: httpx.AsyncClient, view: FakeView, header: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.encode())]
    answer = await client.post("/api/v1/sites", json={"sites": [site("a")]}, headers=headers)
    problem_of(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not view.enrolled


async def enrol(client: httpx.AsyncClient, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/api/v1/sites", content=content, headers={"authorization": f"Bearer {KEY}"})


async def test_enrolment_is_idempotent_and_names_each_refused_site(client: httpx.AsyncClient) -> None:
    body = {"sites": [site("a"), site("b", solar_kw=-3)]}
    first, second = await enrol(client, body), await enrol(client, body)
    assert first.json() == second.json()
    assert list(first.json()["tokens"]) == ["a"]
    assert first.json()["outcome"]["status"] == "partial"
    assert "solar_kw" in first.json()["outcome"]["reasons"]["b"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        ({"sites": []}, "number of sites"),
        ({"sites": [site("a", colour="red")]}, "colour"),
        ({"sites": [{"site": "a"}]}, "feeder"),
        ({"sites": [site("a", solar_kw="big")]}, "solar_kw"),
        ({"sites": [site("a"), site("a")]}, "twice"),
        ({"site": "a"}, "site"),
    ],
)
async def test_a_bad_enrolment_is_refused_by_name(client: httpx.AsyncClient, body: object, named: str) -> None:
    assert named in str(problem_of(await enrol(client, body), 400)["detail"])


async def test_an_oversized_enrolment_is_cut_off(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powerflock.api.enrolment.bounded_body.__defaults__", (1000,))
    assert "1000" in str(problem_of(await enrol(client, b"x" * 1001), 413)["detail"])


async def test_health_ready_and_metrics_tell_operations_apart(client: httpx.AsyncClient, view: FakeView) -> None:
    assert (await client.get("/readyz")).status_code == 200
    view.phase = "recovering"
    assert (await client.get("/healthz")).status_code == 200
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"twins": "recovering"})
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "powerflock_sites 1000\n" in metrics.text
    assert "powerflock_api_stream_listeners 0\n" in metrics.text


async def test_the_page_and_every_answer_forbid_other_origins(client: httpx.AsyncClient) -> None:
    for path in ("/", "/api/v1/state", "/nothing", "/assets/app-1a2b.js"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
    assert (await client.get("/")).headers["cache-control"] == "no-cache"
    assert "immutable" in (await client.get("/assets/app-1a2b.js")).headers["cache-control"]


async def test_openapi_describes_every_route_with_its_schema(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/openapi.json")).json()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    assert "/api/v1/sites/{site}" in document["paths"]
    assert schemas["State"]["properties"]["output"]


async def test_without_a_built_page_the_api_still_works(view: FakeView) -> None:
    transport = httpx.ASGITransport(create_app(view, KEY, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        assert problem_of(await client.get("/"), 404)["code"] == "page_not_built"
        assert (await client.get("/api/v1/state")).status_code == 200


def test_an_empty_enrolment_key_is_refused(view: FakeView) -> None:
    with pytest.raises(InvalidInput, match="enrolment key"):
        create_app(view, "", None)
