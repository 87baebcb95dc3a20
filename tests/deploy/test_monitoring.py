"""Alert rules fire on what they are for; dashboards and rules use only metrics that deploy/metrics.md promises."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data import ROOT
from tests.deploy.chart import named, render
from tests.deploy.tools import DEPLOY, run, tool

ALERTS = sorted((DEPLOY / "alerts").glob("*.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
METRIC = re.compile(r"\b(?:powerflock_[a-z0-9_]+|up)(?=[\[{ )]|$)")
every_dashboard = pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)


def dashboard(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def rules() -> list[dict[str, Any]]:
    groups = [group for file in ALERTS for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    boards = [dashboard(file) for file in DASHBOARDS]
    shown = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    asked = [
        re.sub(r"label_values\((\S+), \w+\)", r"\1", each["query"]["query"])
        for board in boards
        for each in board["templating"]["list"]
        if each["type"] == "query"
    ]
    return [*shown, *asked, *(rule["expr"] for rule in rules())]


def metrics_of(query: str) -> set[str]:
    return set(METRIC.findall(query))


def promised() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", (DEPLOY / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE))


def test_dashboards_and_alerts_use_what_is_promised_and_all_of_it() -> None:
    used = {name for query in queries() for name in metrics_of(query)}
    assert used == promised()


def test_a_metric_is_found_wherever_it_stands_in_a_query() -> None:
    query = 'sum by (plant) (rate(powerflock_a_total[5m])) / powerflock_b{up="1"} unless up'
    assert metrics_of(query) == {"powerflock_a_total", "powerflock_b", "up"}


def test_promtool_accepts_the_rules() -> None:
    done = run(tool("promtool"), "check", "rules", "--lint-fatal", *ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ALERTS, ids=lambda file: file.stem)
def test_alerts_fire_on_their_fault_and_not_without_it(file: Path) -> None:
    tests = ROOT / "tests" / "deploy" / "alerts" / f"{file.stem}_test.yaml"
    done = run(tool("promtool"), "test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_been_seen_to_fire() -> None:
    seen = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "deploy" / "alerts").glob("*.yaml"))
    assert [rule["alert"] for rule in rules() if rule["alert"] not in seen] == []


def test_an_alert_says_how_bad_what_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_can_parse_every_query_of_the_dashboards(tmp_path: Path) -> None:
    file = tmp_path / "queries.yaml"
    filled = [re.sub(r"\$__rate_interval", "5m", query) for query in queries()]
    records = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))
    done = run(tool("promtool"), "check", "rules", "--lint=none", file)
    assert done.returncode == 0, done.stdout + done.stderr


@every_dashboard
def test_a_dashboard_shows_each_panel_in_its_own_place(file: Path) -> None:
    places = [panel["gridPos"] for panel in dashboard(file)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)


@every_dashboard
def test_a_panel_has_a_title_a_unit_and_one_plants_data(file: Path) -> None:
    board = dashboard(file)
    assert board["uid"] == f"powerflock-{file.stem}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('plant=~"$plant"' in target["expr"] for target in panel["targets"]), panel["title"]
        if "MW" in panel["title"]:
            assert "+ = export" in panel["title"], "a power without its sign"


def test_the_chart_ships_the_same_rules_and_dashboards() -> None:
    manifests = render("everything")
    groups = named(manifests, "PrometheusRule", "plant-powerflock")["spec"]["groups"]
    assert [rule for group in groups for rule in group["rules"]] == rules()
    shipped = named(manifests, "ConfigMap", "plant-powerflock-dashboards")["data"]
    assert {name: json.loads(text) for name, text in shipped.items()} == {
        f"powerflock-{file.name}": dashboard(file) for file in DASHBOARDS
    }
