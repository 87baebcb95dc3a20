"""`powerflock history`: the past of a data folder on stdout, and a sentence for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powerflock import cli
from tests.unit.history.past import DAY_US, Past
from tests.unit.plant.small import START_US

SPAN = ["--from", "2026-01-13", "--to", "2026-01-16"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A data folder with three readings of `h0`, one of them late, and where it is."""
    monkeypatch.chdir(tmp_path)
    past = Past(tmp_path)
    historian = past.historian()
    past.report("h0", [START_US, START_US + 1], [1.5, float("nan")])
    past.tell_groups(START_US, -3.0)
    historian.step()
    past.report("h0", [START_US - DAY_US], [4.0], delay_us=DAY_US)
    historian.step()
    return [*SPAN, "--data-dir", str(tmp_path)]


def test_a_series_is_printed_as_a_table_or_json(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["history", "query", "--site", "h0", "--method", "raw", *data]
    assert cli.run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["power_kw"]) == (3, [4.0, 1.5, None])
    assert cli.run(asked) == 0
    assert "2026-01-13T14:00:00.000Z" in capsys.readouterr().out
    assert cli.run(["history", "query", "--group", "portfolio", *data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["power_kw"] == [-3.0]


def test_a_file_is_written(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.csv"
    assert cli.run(["history", "export", "--site", "h0", "-o", str(file), *data]) == 0
    assert len(file.read_text().splitlines()) == 4
    said = capsys.readouterr()
    assert (said.out, "bytes" in said.err) == ("", True)


def test_revised_hours_are_listed(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["history", "revisions", "--name", "h0", *data, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["scope"], row["hour"], row["revised"]) == (
        "site", "2026-01-13T14:00:00.000Z", "2026-01-14T14:00:00.000Z",
    )  # fmt: skip


def test_compaction_says_what_it_did(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = data[-2:]
    assert cli.run(["history", "compact", "--expire", *folder, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert {each["table"] for each in done["expired"]} == {"readings", "groups", "revisions"}


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["query", *SPAN], "exactly one must be given", 2),
        (["query", "--site", "a", "--from", "soon", "--to", "2026-01-02"], "--from is 'soon'", 2),
        (["query", "--site", "a", "--from", "2026-01-02", "--to", "2026-01-02"], "must be after its beginning", 2),
        (["query", "--site", "a", "--column", "x", *SPAN], "must be one of", 2),
        (["query", "--site", "a", *SPAN], "there is no history", 1),
        (["compact"], "there is no history", 1),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    arguments: list[str],
    said: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["history", *arguments, "--data-dir", str(tmp_path / "none")]) == code
    assert said in capsys.readouterr().err
