"""Alarms over HTTP: everybody may read them; who has the plant's key may say that they have seen one."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import msgspec
import pytest

from powerflock.api.alarm_models import AlarmRow
from powerflock.api.app import create_app
from tests.fake_view import FakeView

KEY = "enrol-me"
LOST, DERATED = "dropout:feeder:Bondi/BO-2", "derating:firmware:135x50-2"


@pytest.fixture
def view() -> FakeView:
    return FakeView()


@pytest.fixture
def client(view: FakeView) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(view, KEY, None)), base_url="http://plant")


async def rows(client: httpx.AsyncClient) -> dict[str, AlarmRow]:
    found = msgspec.json.decode((await client.get("/api/v1/alarms")).content, type=list[AlarmRow])
    return {row.id: row for row in found}


async def say(client: httpx.AsyncClient, alarm: str, body: object, key: str = KEY) -> httpx.Response:
    path = f"/api/v1/alarms/{quote(alarm, safe='')}/acknowledge"
    return await client.post(path, json=body, headers={"authorization": f"Bearer {key}"})


async def test_an_alarm_whose_name_has_a_path_is_acknowledged_by_name(client: httpx.AsyncClient) -> None:
    answer = await say(client, LOST, {"by": " Ana "})
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=AlarmRow).acknowledged_by == "Ana"
    assert (await rows(client))[LOST].acknowledged_by == "Ana"
    assert (await client.get("/api/v1/state")).json()["alarms"]["unacknowledged"] == 1


async def test_a_cleared_one_leaves_the_list(client: httpx.AsyncClient) -> None:
    assert (await say(client, DERATED, {"by": "Ana"})).json()["state"] == "cleared"
    assert set(await rows(client)) == {LOST}
    assert (await say(client, DERATED, {"by": "Ana"})).status_code == 404


async def test_without_the_key_nobody_acknowledges(client: httpx.AsyncClient) -> None:
    assert (await say(client, LOST, {"by": "Ana"}, key="guess")).status_code == 401
    assert (await rows(client))[LOST].acknowledged is None


@pytest.mark.parametrize(
    "body", [{}, {"by": ""}, {"by": "   "}, {"by": "x" * 65}, {"by": "a\nb"}, {"by": 3}, {"who": "Ana"}]
)
async def test_a_name_that_is_none_is_refused(client: httpx.AsyncClient, body: object) -> None:
    answer = await say(client, LOST, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


async def test_more_than_a_name_is_not_read(client: httpx.AsyncClient) -> None:
    assert (await say(client, LOST, {"by": "x" * 5000})).status_code == 413
