"""The benchmarks can be listed, run one by one, read by programs and written as a page."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import (
    BENCHMARKS,
    command,
    curves,
    emhass,
    end_to_end,
    fleet,
    groups,
    peak,
    policy,
    site_nonconvex,
    site_optimiser,
    twins,
)
from benchmarks.rows import Row, less_is_better, median_s, more_is_better
from powerflock.optimise import Plans, SiteProblems, solve
from powerflock.optimise.envelope import EnvelopePlans, solve_envelope
from tests.unit.test_peers import idle_peer


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DEVICES", 500), ("BATCH_ROWS", 100), ("OBJECTS", 50), ("ACTORS", 20)):
        monkeypatch.setattr(twins, name, value)
    for name, value in (("SITES", 300), ("QUICK_CURVES", 100), ("FEEDERS", 7)):
        monkeypatch.setattr(groups, name, value)
    for name, value in (("QUICK_CURVES", 60), ("QUICK_COMPARED", 20)):
        monkeypatch.setattr(curves, name, value)
    for name, value in (("QUICK_HOMES", 12), ("QUICK_REFEREED", 4), ("QUICK_FLEET", 30)):
        monkeypatch.setattr(site_optimiser, name, value)
    for name, value in (("QUICK_HOMES", 6), ("QUICK_REFEREED", 2)):
        monkeypatch.setattr(site_nonconvex, name, value)
    monkeypatch.setattr(site_nonconvex, "QUICK_INTERVALS", (12, 24))
    for name, value in (("RUNS", 1), ("BATCH", 4)):
        monkeypatch.setattr(emhass, name, value)
    monkeypatch.setattr(emhass, "QUICK_DAYS", {48: 2})
    monkeypatch.setattr(emhass, "ask", idle_peer)
    for name, value in (("INTERVALS", 96), ("QUICK_REFEREED", 1)):
        monkeypatch.setattr(peak, name, value)
    for name, value in (("QUICK_HOMES", 6), ("QUICK_EVALUATIONS", 20)):
        monkeypatch.setattr(policy, name, value)
    monkeypatch.setattr(fleet, "QUICK_REFEREED", (6,))
    monkeypatch.setattr(fleet, "QUICK_FLEETS", (12,))
    for name, value in (("HOMES", 20), ("QUICK_SECONDS", 1), ("QUICK_MESSAGES", 2)):
        monkeypatch.setattr(end_to_end, name, value)


def test_without_a_name_each_benchmark_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    assert all(len(line.split()) > 3 for line in lines)


def test_every_benchmark_is_named_as_its_module() -> None:
    assert [command.load(name).NAME for name in BENCHMARKS] == list(BENCHMARKS)


def test_an_unknown_name_exits_2_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["nope"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "'nope' is no benchmark" in captured.err
    assert "twins" in captured.err


def test_a_name_and_all_exclude_each_other() -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["twins", "--all"])
    assert stop.value.code == 2


@pytest.mark.parametrize("name", BENCHMARKS)
def test_json_is_only_a_list_of_rows(name: str, tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([name, "--quick", "--json"]) == 0
    rows = msgspec.json.decode(capsys.readouterr().out)
    assert rows
    for row in rows:
        assert list(row) == ["metric", "value", "unit", "against", "against_value", "ratio"]
        assert row["value"] > 0.0


def test_a_page_names_the_machine_the_date_and_the_figures(tiny: None, tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    assert command.main(["twins", "--quick", "--write", str(target), "--date", "2026-01-02"]) == 0
    text = target.read_text(encoding="utf-8")
    assert "Measured on 2026-01-02" in text
    assert "cores" in text
    assert "500 devices" in text


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    assert more_is_better("rate", 10.0, "1/s", "other", 2.0).ratio == 5.0
    assert less_is_better("time", 2.0, "ms", "other", 10.0).ratio == 5.0
    assert Row(metric="m", value=1.0, unit="s").against is None


def test_the_warm_up_is_not_counted() -> None:
    calls: list[int] = []
    assert median_s(lambda: calls.append(1), 3) >= 0.0
    assert len(calls) == 4


def test_a_wrong_optimum_fails_the_benchmark(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def cheat(problems: SiteProblems) -> Plans:
        plans = solve(problems)
        return dataclasses.replace(plans, cost=plans.cost - 1e-7)

    monkeypatch.setattr(site_optimiser, "solve", cheat)
    with pytest.raises(RuntimeError, match="HiGHS finds"):
        site_optimiser.run(quick=True)


def test_a_wrong_plan_of_a_home_that_is_not_convex_fails_the_benchmark(
    tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cheat(problems: SiteProblems) -> EnvelopePlans:
        plans = solve_envelope(problems)
        return dataclasses.replace(plans, cost=plans.cost - 1e-4)

    monkeypatch.setattr(site_nonconvex, "solve_envelope", cheat)
    with pytest.raises(RuntimeError, match="HiGHS finds"):
        site_nonconvex.run(quick=True)


def test_a_home_that_highs_does_not_finish_in_time_is_said_to_be_left(
    tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(site_nonconvex, "QUICK_PATIENCE_S", 0.0)
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path))
    rows = site_nonconvex.run(quick=True)
    assert any("left after 0 s" in str(row.against) for row in rows)
    assert any("random negative prices" in row.metric for row in rows)
    assert "prices are made up" in capsys.readouterr().err


def test_real_homes_are_left_out_where_their_data_is_absent(
    tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path))
    rows = site_optimiser.run(quick=True)
    assert not any("real" in row.metric for row in rows)
    assert "POWERFLOCK_DATA" in capsys.readouterr().err


def test_peaks_are_planned_for_random_sites_where_real_ones_are_absent(
    tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path))
    rows = peak.run(quick=True)
    assert all("random sites" in row.metric for row in rows)
    assert "POWERFLOCK_DATA" in capsys.readouterr().err


def test_a_process_that_ends_early_fails_the_benchmark_with_what_it_said(tmp_path: Path) -> None:
    command_line = [sys.executable, "-c", "raise SystemExit('no disk')"]
    with (
        end_to_end.process(command_line, tmp_path / "work", tmp_path) as (child, output),
        pytest.raises(RuntimeError, match="exit 1: no disk"),
    ):
        end_to_end.addresses(child, output, 1)
