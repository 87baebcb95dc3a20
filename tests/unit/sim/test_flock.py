"""The homes of the virtual fleet follow the plant's clock, and judge commands at their own edge."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from powerflock.domain import policy
from powerflock.domain.columns import Issuer
from powerflock.edge.ladder import Rung
from powerflock.sim.fleet import SimFleet
from powerflock.sim.flock import Flock
from powerflock.sim.ledger import Ledger
from powerflock.sim.status import Status
from powerflock.sim.wire import Command, CommandAck, Policy, Welcome, codec
from tests.unit.sim.homes_made import MINUTE_US, START_US, site, steady


def flock(ledger: Ledger) -> Flock:
    specs = [site("a"), site("b", battery=None)]
    homes = steady([2.0, 2.0], [-1.0, -3.0])
    return Flock(["a", "b"], lambda start: SimFleet(specs, homes, start, 0, 0.5), codec("json"), ledger, Status(2))


def welcome(time_us: int, speed: float = 60.0) -> Welcome:
    return Welcome(1, "s", time_us, speed, 512, 1_000_000, 65_536)


def test_homes_start_at_the_plants_time_and_number_readings_above_earlier_processes(tmp_path: Path) -> None:
    with Ledger(None) as book:
        homes = flock(book)
        homes.tick(0, 1)
        assert not homes.homes[0].spool, "no time yet, no physics, nothing to read"
        before_us = time.time_ns() // 1000
        homes.welcomed(welcome(START_US))
        homes.tick(0, 1)
        assert homes.fleet is not None
        assert 0 < homes.fleet.now_us - START_US < MINUTE_US
        (batch,) = homes.homes[0].spool
        assert set(batch.seqs) == {"battery", "solar", "meter"}
        assert min(batch.seqs.values()) > before_us
        assert set(homes.homes[1].spool[0].seqs) == {"solar", "meter"}


def test_a_plant_whose_clock_jumped_back_is_followed_and_small_differences_never_turn_time_back() -> None:
    with Ledger(None) as book:
        homes = flock(book)
        homes.welcomed(welcome(START_US))
        homes.tick(0, 1)
        assert homes.fleet is not None
        reached_us = homes.fleet.now_us
        homes.welcomed(welcome(START_US - 2 * MINUTE_US))
        homes.tick(0, 1)
        assert homes.fleet.now_us == reached_us, "waits until the plant has caught up"
        homes.welcomed(welcome(START_US - 90 * MINUTE_US))
        homes.tick(0, 1)
        assert homes.fleet.now_us < START_US - 89 * MINUTE_US


def test_intervals_of_the_ledger_end_at_five_minutes_and_hold_each_homes_energy(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as book:
        homes = flock(book)
        homes.welcomed(welcome(START_US - 30_000_000, speed=3_600.0))
        for _ in range(4):
            time.sleep(0.05)
            homes.tick(0, 1)
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "energy")
    assert first["end_us"] == START_US
    assert first["net_kwh"] == pytest.approx({"a": 0.0, "b": -1.0 * 30 / 3600}, abs=1e-9)
    assert first["battery_kwh"]["b"] == 0.0


def test_each_command_is_answered_with_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(None) as book:
        homes = flock(book)
        homes.welcomed(welcome(START_US))
        answers: list[CommandAck] = []
        monkeypatch.setattr(homes.homes[0], "answer", answers.append)
        times = (START_US, START_US + 5 * MINUTE_US)
        homes.commanded(0, Command(1, -1.0, None, *times, 1, Issuer.MARKET))
        homes.commanded(0, Command(1, -1.0, None, *times, 1, Issuer.MARKET))
        homes.commanded(0, Command(2, 1e300, None, *times, 1, Issuer.MARKET))
        homes.commanded(0, Command(3, -1.0, None, 0, 1, 1, Issuer.MARKET))
        homes.tick(0, 1)
        assert answers == [
            CommandAck(1, "applied"),
            CommandAck(1, "refused", "replayed"),
            CommandAck(2, "refused", "malformed"),
            CommandAck(3, "expired", "expired"),
        ]


def test_a_policy_is_followed_from_the_next_tick_on_and_a_bad_one_is_told_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = 60 * MINUTE_US
    hold = policy.Levels(0.0, 10.0, 10.0, 10.0)
    made = policy.Policy((START_US - hour, START_US + hour), (hold,), 0.95, 0.95, policy.Basis.OWNER)
    with Ledger(tmp_path / "ledger.jsonl") as book:
        homes = flock(book)
        homes.welcomed(welcome(START_US))
        homes.handed(0, Policy(3, made.to_bytes()))
        homes.tick(0, 1)
        homes.tick(0, 1)
        assert homes.fleet is not None
        assert homes.fleet.rung.tolist() == [Rung.POLICY, Rung.SELF_CONSUMPTION]
        homes.handed(0, Policy(3, b"nonsense"))
        homes.tick(0, 1)
        homes.tick(0, 1)
        assert homes.fleet.rung[0] == Rung.POLICY
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    told = [(line["site"], line["epoch"], line["status"]) for line in lines if line["kind"] == "policy"]
    assert told == [("a", 3, "applied"), ("a", 3, "refused")]
    assert "a: a policy was refused: malformed" in capsys.readouterr().err
