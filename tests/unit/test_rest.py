"""Reading a plant from outside: all pages, the plant's own words on a refusal, and a clear word where there is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from powerflock import cli, rest
from powerflock.domain.errors import InvalidInput, PowerflockError

ALARM = "dropout:feeder:west/F1"


class Plant(BaseHTTPRequestHandler):
    """Answers as a plant does, with three sites on pages of at most two."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if query.get("freshness") == "rotten":
            self.answer(400, {"title": "Bad input", "detail": "freshness is 'rotten'"})
        elif query.get("search") == "broken":
            self.answer(500, {"title": "Failed"})
        elif query.get("search") == "strange":
            self.answer(200, {"hello": 1})
        elif query.get("search") == "text":
            self.answer(200, None, b"<html>")
        elif url.path.startswith("/api/v1/sites/"):
            device = {"device": "meter", "kind": "meter", "freshness": "fresh", "power_kw": 1.5}
            times = {"desired": "2025-01-01T00:00:00Z", "metered": None}
            now = {"site": "a", "power_kw": 1.5}
            known = {"now": now, "times": times, "devices": [device], "why": ["Your battery rests."]}
            self.answer(200, known if url.path.endswith("/a") else {"now": now})
        elif query.get("command") == "refused":
            self.answer(200, {"sites": [{"site": url.query}], "total": 1, "next_page_token": None})
        elif url.path == "/api/v1/groups":
            self.answer(200, [{"group": "portfolio", "firm_up_kw": 3.25, "worst_failure": "provider:northnet"}])
        elif url.path == "/api/v1/alarms":
            self.answer(200, [{"id": ALARM, "severity": "critical", "sentence": "Contact lost."}])
        elif url.path == "/api/v1/bids":
            bands = [{"price_per_mwh": 300.0, "quantity_mw": 0.25}]
            self.answer(200, [{"interval_start": "2025-01-01T00:00:00Z", "bands": bands, "award_mw": None}])
        else:
            start, count = int(query.get("page_token", 0)), min(2, int(query["limit"]))
            names = ["a", "b", "c"][start : start + count]
            token = str(start + count) if start + count < 3 else None
            rows = [{"site": name, "power_kw": 1.5, "soc_ratio": None} for name in names]
            self.answer(200, {"sites": rows, "total": 3, "next_page_token": token})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != "Bearer secret":
            self.answer(401, {"detail": "this needs the key"})
        elif self.path == f"/api/v1/alarms/{quote(ALARM, safe='')}/acknowledge":
            self.answer(200, {"id": ALARM, "acknowledged_by": body["by"]})
        else:
            self.answer(404, {"detail": "not in the book"})

    def answer(self, status: int, body: object, raw: bytes | None = None) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode() if raw is None else raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def plant() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Plant) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_all_pages_are_read(plant: str) -> None:
    assert [row["site"] for row in rest.sites(plant, limit=10)] == ["a", "b", "c"]


def test_no_more_than_asked_for(plant: str) -> None:
    assert [row["site"] for row in rest.sites(plant, limit=1)] == ["a"]


def test_a_refusal_keeps_the_plants_words(plant: str) -> None:
    with pytest.raises(InvalidInput, match="freshness is 'rotten'"):
        rest.sites(plant, limit=1, freshness="rotten")


def test_a_failing_plant_is_reached_but_failed(plant: str) -> None:
    with pytest.raises(PowerflockError, match="status 500: Failed") as caught:
        rest.sites(plant, limit=1, search="broken")
    assert not isinstance(caught.value, rest.Unreachable | InvalidInput)


@pytest.mark.parametrize("search", ["strange", "text"])
def test_something_else_on_the_port_is_no_plant(plant: str, search: str) -> None:
    with pytest.raises(rest.Unreachable, match="not a plant"):
        rest.sites(plant, limit=1, search=search)


def test_lists_are_shown_as_tables_and_as_json(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sites", "list", "--url", plant]) == 0
    shown = capsys.readouterr().out
    assert "+ = into the site" in shown
    assert "–" in shown
    assert cli.run(["sites", "list", "--url", plant, "--json"]) == 0
    assert [row["site"] for row in json.loads(capsys.readouterr().out)] == ["a", "b", "c"]
    assert cli.run(["bids", "list", "--url", plant]) == 0
    assert "0.25@300" in capsys.readouterr().out


def test_filters_bounds_and_the_order_reach_the_plant(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--command",
        "refused",
        "--unreachable",
        "--group",
        "VIC1/f 1",
        "--min",
        "power_kw=3",
        "--min",
        "age_s=1",
    ]
    more = ["--max", "soc_ratio=0.2", "--sort=-deviation_kw", "--limit", "7"]
    assert cli.run(["sites", "list", "--url", plant, "--json", *options, *more]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {key: values[0] for key, values in parse_qs(row["site"]).items()} == {
        "command": "refused",
        "reachable": "false",
        "group": "VIC1/f 1",
        "min_power_kw": "3",
        "min_age_s": "1",
        "max_soc_ratio": "0.2",
        "sort": "-deviation_kw",
        "limit": "7",
    }


def test_a_bound_without_its_number_is_refused(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sites", "list", "--url", plant, "--max", "power_kw"]) == cli.BAD_INPUT
    assert "--max is 'power_kw'; must be NAME=NUMBER" in capsys.readouterr().err


def test_one_site_is_shown_with_its_devices_and_why(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sites", "show", "a", "--url", plant]) == 0
    shown = capsys.readouterr().out
    for words in ("when its powers were known", "meter", "Your battery rests."):
        assert words in shown
    assert cli.run(["sites", "show", "a", "--url", plant, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["times"]["metered"] is None


def test_an_answer_without_a_site_is_no_plants(plant: str) -> None:
    with pytest.raises(rest.Unreachable, match="says nothing of a site"):
        rest.site(plant, "b")


def test_groups_and_alarms_are_shown_too(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["groups", "list", "--url", plant]) == 0
    assert "provider:northnet" in capsys.readouterr().out
    assert cli.run(["alarms", "list", "--url", plant]) == 0
    assert "Contact lost." in capsys.readouterr().out
    assert cli.run(["alarms", "list", "--url", plant, "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [ALARM]


def test_who_has_the_key_acknowledges(plant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "enrol.key"
    asked = ["alarms", "acknowledge", ALARM, "--by", "Ana", "--url", plant, "--enrol-key-file", str(key)]
    assert cli.run(asked) == cli.BAD_INPUT
    key.write_text("guess")
    assert cli.run(asked) == cli.BAD_INPUT
    assert "this needs the key" in capsys.readouterr().err
    key.write_text("secret\n")
    assert cli.run(asked) == 0
    assert capsys.readouterr().out == f"{ALARM} acknowledged by Ana\n"
