"""What the command line shows: columns that line up, unknown as such, nothing but data on stdout."""

from __future__ import annotations

import json

import pytest

from powerflock import console

WIDE = "a remedy that is longer than eighty columns, so that a pipe would cut it if it thought itself a narrow terminal"


def test_a_table_in_a_pipe_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([{"check": "port", "ok": False, "remedy": WIDE}], title="Doctor")
    shown = capsys.readouterr().out
    assert WIDE in shown
    assert "NO" in shown


def test_unknown_is_not_zero(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([{"power_kw": float("nan")}, {"power_kw": 0.0}, {"power_kw": None}], title="Sites")
    shown = capsys.readouterr().out
    assert shown.count("–") == 2
    assert " 0 " in shown
    console.print_json({"power_kw": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"power_kw": None}


def test_an_empty_table_says_nothing_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([], title="Bids")
    assert "nothing" in capsys.readouterr().out


def test_text_from_devices_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([{"site": "[red]x[/red]"}], title="Sites")
    assert "[red]x[/red]" in capsys.readouterr().out


def test_progress_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("working") as advance:
        advance(0.5)
        advance(1.0)
    assert capsys.readouterr().out == ""
