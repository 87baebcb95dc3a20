"""`powerflock registry`: data on stdout, the same rows after a move to another database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powerflock import cli
from powerflock.compose.registry import registry_store
from powerflock.settings import load
from tests.unit.plant.small import homes


@pytest.fixture(autouse=True)
def plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POWERFLOCK_PLANT_DATA_DIR", str(tmp_path))
    store = registry_store(load().settings, lambda: 1_768_399_200_000_000)
    store.enrol(homes(3))
    store.database.close()
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    assert cli.run(["registry", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sites_are_listed_and_one_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    rows = said(capsys, "list", "--after", "h0")
    assert isinstance(rows, list)
    assert [row["site"] for row in rows] == ["h1", "h2"]
    assert rows[0]["enrolled"].startswith("2026-01-14T14:00:00")
    shown = said(capsys, "show", "h1")
    assert isinstance(shown, dict)
    assert shown["spec"]["battery"]["capacity_kwh"] == 10.0
    assert cli.run(["registry", "show", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_migrating_says_from_which_version_to_which(capsys: pytest.CaptureFixture[str]) -> None:
    row = said(capsys, "migrate")
    assert isinstance(row, dict)
    assert (row["before"], row["now"]) == ("0001", "0001")
    assert "registry.sqlite" in row["registry"]


def test_a_registry_moves_to_another_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, plant: Path
) -> None:
    before = said(capsys, "list")
    assert cli.run(["registry", "export", "copy.jsonl"]) == 0
    monkeypatch.setenv("POWERFLOCK_REGISTRY_URL", f"sqlite:///{plant}/other.sqlite")
    assert cli.run(["registry", "import", "copy.jsonl"]) == 0
    after = said(capsys, "list")
    assert isinstance(before, list)
    assert isinstance(after, list)
    same = ("site", "partition", "row", "devices", "feeder")
    assert [[row[name] for name in same] for row in after] == [[row[name] for name in same] for row in before]
    assert cli.run(["registry", "import", "copy.jsonl"]) == 2
    assert cli.run(["registry", "import", "gone.jsonl"]) == 2
