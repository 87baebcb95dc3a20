"""The benchmarks can be listed, run one by one, read by programs and written as a page."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import (
    BENCHMARKS,
    actors,
    cluster,
    command,
    curves,
    decode,
    emhass,
    end_to_end,
    fleet,
    fleets,
    groups,
    kafka,
    peak,
    pekko,
    policy,
    recovery,
    scale,
    site_nonconvex,
    site_optimiser,
    start,
    takeover,
    twins,
)
from benchmarks.rows import Row, less_is_better, median_s, more_is_better
from powerflock.domain.columns import DeviceKind
from powerflock.domain.registry import SiteTable
from powerflock.gateway.protocol import JSON, MSGPACK
from powerflock.optimise import Plans, SiteProblems, solve
from powerflock.optimise.envelope import EnvelopePlans, solve_envelope
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, load
from tests.unit.test_peers import idle_peer


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    for name, value in (("SITES", 300), ("BATCH_ROWS", 100)):
        monkeypatch.setattr(kafka, name, value)
    monkeypatch.setattr(kafka, "_peer", lambda servers, messages, runs: [kafka.Spent(messages, 1.0, 1.0)] * runs)

    @contextlib.contextmanager
    def shared() -> Iterator[str]:
        yield request.getfixturevalue("kafka_servers")

    for module in (kafka, scale, cluster, takeover):
        monkeypatch.setattr(module, "broker", shared)
    for name, value in (("QUICK_HOMES", 20), ("INTERVAL_S", 1), ("SESSION_S", 2)):
        monkeypatch.setattr(takeover, name, value)
    monkeypatch.setattr(scale, "CASES", ((40, 1), (40, 2)))
    for name, value in (("BATCH_ROWS", 20), ("SMALL_ROWS", 5), ("QUICK_READINGS", 300)):
        monkeypatch.setattr(scale, name, value)
    for name, value in (("HOMES", 20), ("QUICK_SECONDS", 1), ("QUICK_MESSAGES", 2)):
        monkeypatch.setattr(cluster, name, value)
    monkeypatch.setattr(fleets, "FEEDERS", 7)
    for name, value in (("SITES", 300), ("BATCH_ROWS", 100)):
        monkeypatch.setattr(twins, name, value)
    for name, value in (("OBJECTS", 50), ("ACTORS", 20)):
        monkeypatch.setattr(actors, name, value)
    monkeypatch.setattr(actors, "peer_rate", lambda peer, devices, rounds: None)
    monkeypatch.setattr(groups, "SITES", 300)
    monkeypatch.setattr(decode, "READINGS", 600)
    for name, value in (("SITES", 100), ("BATCH_ROWS", 40)):
        monkeypatch.setattr(recovery, name, value)
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
    for name, value in (("HOMES", 20), ("RUN_S", 1)):
        monkeypatch.setattr(start, name, value)
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
        assert row["value"] > 0.0 or row["unit"] == "commands", "so few homes may have nothing to be told"


def test_a_page_names_the_machine_the_date_and_the_figures(tiny: None, tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    assert command.main(["twins", "--quick", "--write", str(target), "--date", "2026-01-02"]) == 0
    text = target.read_text(encoding="utf-8")
    assert "Measured on 2026-01-02" in text
    assert "cores" in text
    assert "300 sites" in text


def test_a_benchmark_measured_again_leaves_the_others_on_the_page(tiny: None, tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    target.write_text("# Benchmarks\n\nBefore.\n\n## twins\n\nold\n\n## curves\n\nkept\n", encoding="utf-8")
    assert command.main(["twins", "--quick", "--write", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert "old" not in text.partition("## twins")[2].split()
    assert text.endswith("\n## curves\n\nkept\n")
    assert text.count("\n## ") == 2


def test_a_peer_is_asked_where_it_is_named_and_said_so_on_the_page(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pekko, "ask", lambda actors, rounds: pekko.Answer(100.0, 1e6, 500))
    target = tmp_path / "page.md"
    assert command.main(["twins", "--quick", "--against", "pekko", "--write", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert "python -m benchmarks twins --quick --against pekko" in text
    assert "an Apache Pekko actor per device" in text


def test_without_java_and_maven_pekko_is_left_out_with_the_reason(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["twins", "--quick", "--json", "--against", "pekko"]) == 0
    captured = capsys.readouterr()
    assert "pekko is left out, for it cannot be built and run: no java and no mvn on the PATH" in captured.err
    assert "Pekko" not in captured.out


@pytest.mark.parametrize("arguments", [["groups", "--against", "pekko"], ["twins", "--against", "erlang"]])
def test_a_peer_that_a_benchmark_does_not_have_exits_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    assert "{'twins': ['pekko']}" in capsys.readouterr().err


def test_a_recovery_that_ends_in_another_state_fails_the_benchmark(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(payload: bytes, table: SiteTable) -> tuple[Shard, Mark]:
        shard, mark = load(payload, table)
        shard.sites["desired_seq"] += 1
        return shard, mark

    monkeypatch.setattr(recovery, "load", forgetful)
    with pytest.raises(RuntimeError, match="recovered from the snapshot, the shard is not what it was"):
        recovery.run(quick=True)


def test_readings_that_do_not_come_through_fail_the_benchmark(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "DEVICES", {"battery": 0, "solar": 1, "meter": 2**32 - 1})
    with pytest.raises(RuntimeError, match="of 600 readings came through, or not as they are"):
        decode.run(quick=True)


def test_the_decoder_and_the_plain_loop_find_the_same(tiny: None) -> None:
    frames = decode.frames_of(JSON, 3)
    packed = decode.columns_of(MSGPACK, 300)
    plain = decode.looped(msgspec.json.decode, frames)
    assert decode.decoded(JSON, frames).tobytes() == plain.tobytes() == decode.decoded(MSGPACK, packed).tobytes()


def test_the_made_up_fleet_has_two_and_a_half_devices_a_site() -> None:
    table = fleets.table(4_000)
    assert table.devices / table.sites == pytest.approx(2.5, abs=0.05)
    assert set(table.device_kind.tolist()) == {int(kind) for kind in DeviceKind}
    first = np.searchsorted(table.device_site, np.arange(table.sites))
    assert table.first_device.tolist() == first.tolist()
    assert (table.device_kind[table.meter_device] == DeviceKind.METER).all()
    shard = Shard.of(table)
    assert step(shard, fleets.readings(table), fleets.NOW_US).applied == table.devices


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
