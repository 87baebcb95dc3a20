"""A peer with an environment of its own is asked by files, and left out, with the reason, if it cannot be installed."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import emhass, peers
from powerflock.optimise import Plans, SiteProblems, solve

if TYPE_CHECKING:
    from benchmarks.emhass_peer import Problem

ECHO = """
import pathlib, sys
given, written = map(pathlib.Path, sys.argv[1:3])
print("chatter")
written.write_bytes(given.read_bytes())
"""


def idle_peer(problems: list[Problem]) -> list[emhass.Answer]:
    """Stands in for EMHASS: leaves each battery alone."""
    return [emhass.Answer("Optimal", [0.0] * len(problem["load_w"]), 0.3, 0.2, 0.1) for problem in problems]


@pytest.fixture
def small_emhass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emhass, "QUICK_DAYS", {48: 2})
    monkeypatch.setattr(emhass, "RUNS", 1)
    monkeypatch.setattr(emhass, "BATCH", 4)


def peer(tmp_path: Path, source: str) -> peers.Peer:
    script = tmp_path / "script.py"
    script.write_text(source, encoding="utf-8")
    return peers.Peer("echo", ("nothing==1.0",), str(script))


def test_answers_come_back_whatever_the_peer_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "environment", lambda peer: Path(sys.executable))
    assert peers.ask(peer(tmp_path, ECHO), b"[1, 2]") == b"[1, 2]"


def test_a_script_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "environment", lambda peer: Path(sys.executable))
    with pytest.raises(RuntimeError, match="echo: exit 1: no licence"):
        peers.ask(peer(tmp_path, "raise SystemExit('no licence')"), b"[]")


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    installer = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' '); import os; os.makedirs(%r, exist_ok=True)"
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "peers")
    wanted = peer(tmp_path, ECHO)
    folder = tmp_path / "peers" / "made"
    monkeypatch.setattr(peers, "folder_of", lambda peer: folder)
    monkeypatch.setattr(peers, "installer", lambda: [sys.executable, "-c", installer % str(folder), str(log)])
    assert peers.environment(wanted) == peers.environment(wanted) == folder / "bin" / "python"
    assert log.read_text(encoding="utf-8").split() == ["venv", "pip"]


def test_only_our_times_are_measured_where_the_peer_cannot_be_installed(
    small_emhass: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "peers")
    monkeypatch.setattr(peers, "installer", lambda: [sys.executable, "-c", "raise SystemExit('no network')"])
    rows = emhass.run(quick=True)
    assert rows
    assert all(row.against is None and row.value > 0 for row in rows)
    assert "emhass is left out, for it cannot be installed: no network" in capsys.readouterr().err


def test_random_homes_stand_in_for_real_ones(
    small_emhass: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path))
    monkeypatch.setattr(emhass, "ask", idle_peer)
    rows = emhass.run(quick=True)
    assert all("random home days" in row.metric for row in rows)
    assert all(row.ratio is not None and row.ratio >= 1.0 for row in rows if row.metric.endswith("cost"))


def test_a_plan_dearer_than_the_peers_fails_the_benchmark(small_emhass: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def dear(problems: SiteProblems) -> Plans:
        plans = solve(problems)
        return dataclasses.replace(plans, cost=plans.cost + 10.0)

    monkeypatch.setattr(emhass, "ask", idle_peer)
    monkeypatch.setattr(emhass, "solve", dear)
    with pytest.raises(RuntimeError, match="EMHASS plans it for"):
        emhass.run(quick=True)


def test_a_peers_plan_that_breaks_a_limit_fails_the_benchmark(
    small_emhass: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empties(problems: list[Problem]) -> list[emhass.Answer]:
        return [emhass.Answer("Optimal", [9000.0] * 48, 0.3, 0.2, 0.1) for _ in problems]

    monkeypatch.setattr(emhass, "ask", empties)
    with pytest.raises(RuntimeError, match="break limits"):
        emhass.run(quick=True)
