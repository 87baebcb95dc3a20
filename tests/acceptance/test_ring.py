"""The whole ring with real processes: 16 real homes replayed at 60× against real VIC1 prices, the plant killed midway.

The short stretch is for every run; `pytest -m soak` (`make soak`) replays two whole days with the same code.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from tests.acceptance import strangers
from tests.acceptance.processes import Homes, Plant, Tail, Watcher, until
from tests.data import data_file
from tests.homes_data import write_real_homes

PRICES = "nem/vic1_price_demand_5min_2024-12_2025-07.parquet"
INTERVAL_US = 300_000_000
DOWN_S = 2.0


@pytest.mark.timeout(200)
def test_the_ring_closes_every_interval_and_survives_a_kill(tmp_path: Path) -> None:
    run(tmp_path, intervals=6)


@pytest.mark.soak
@pytest.mark.timeout(2 * 3600)
def test_the_ring_closes_every_interval_of_two_days(tmp_path: Path) -> None:
    run(tmp_path, intervals=288)


def run(folder: Path, intervals: int) -> None:
    """So many settled intervals, SIGKILL, and as many again; then everything is compared."""
    prices = data_file(PRICES)
    day = time.time_ns() // 1000 // MICROS_PER_DAY * MICROS_PER_DAY
    homes_file = write_real_homes(folder / "homes.parquet", day - 10 * MICROS_PER_HOUR, first_day=10, days=3)
    plant = Plant(folder, "--speed", "60", "--prices", str(prices))
    homes = Homes(folder, plant, "--homes-file", str(homes_file), "--period-s", "0.25")
    tail, seen = Tail(plant), Seen(plant)
    watchers = [Watcher(0.2, tail.look), Watcher(0.25, seen.look)]
    try:
        plant.start()
        homes.start()
        patience_s = 30.0 + 6.0 * intervals
        until("every home to report", plant.covered, 60.0)
        strangers.knock(plant)
        until("intervals to be settled", lambda: plant.intervals() >= intervals, patience_s)
        time.sleep(DOWN_S)  # the interval that has just begun has its commands by now
        plant.kill()
        time.sleep(DOWN_S)
        plant.start()
        back_s = until("every home to be back", plant.covered, 30.0)
        until("as many intervals again", lambda: plant.intervals() >= 2 * intervals, patience_s)
        assert homes.end() == 0
        time.sleep(1.5)
        metrics = {name: plant.metric(f"powerflock_readings_{name}_total") for name in ("repeated", "refused")}
        for watcher in watchers:
            watcher.finish()
        check_rest(plant, homes)
        assert plant.end() == 0
    finally:
        plant.kill()
        homes.kill()
        for watcher in watchers:
            watcher.stop()
    assert back_s < 15.0, "the ring turns again within seconds"
    seen.check()
    check_readings(homes, tail, metrics)
    check_delivery(plant, homes)
    check_commands(plant, homes)


class Seen:
    """What anybody sees of the plant over time."""

    def __init__(self, plant: Plant) -> None:
        self._plant, self._states = plant, list[dict[str, Any]]()

    def look(self) -> None:
        state = self._plant.state()
        if state is not None and state["phase"] != "recovering":
            self._states.append(state)

    def check(self) -> None:
        """Time, account and sites only grow; the market is said to be simulated; plans are made."""
        times = [state["time"] for state in self._states]
        assert times == sorted(times), "time ran backwards"
        settled = [state["account"]["intervals"] for state in self._states]
        assert settled == sorted(settled), "settled intervals were forgotten"
        sites = [state["sites"] for state in self._states]
        assert sites == sorted(sites)
        last = self._states[-1]
        assert last["sites"] == 16
        assert all(state["simulated"] and state["speed"] == 60.0 for state in self._states)
        assert not last["generated_prices"]
        assert last["price_source"] == Path(PRICES).name
        assert last["ring"]["plan_ms"] > 0.0


def check_rest(plant: Plant, homes: Homes) -> None:
    """Every settled interval is there once, in order; each award has its bid of ten bands."""
    accounts = plant.get("/api/v1/accounts?limit=500")
    bids = {bid["interval_start"]: bid for bid in plant.get("/api/v1/bids?limit=500")}
    starts = [row["interval_start"] for row in accounts]
    assert starts == sorted(set(starts), reverse=True)
    awarded = [row for row in accounts if row["awarded_mwh"] is not None]
    assert len(awarded) >= 0.7 * len(accounts)
    for row in awarded:
        bid = bids[row["interval_start"]]
        assert len(bid["bands"]) == 10
        assert bid["award_mw"] is not None
        assert bid["spot_per_mwh"] == row["spot_per_mwh"]
    assert plant.get("/api/v1/sites?limit=1")["total"] == 16


def check_readings(homes: Homes, tail: Tail, metrics: dict[str, float]) -> None:
    """Nothing acknowledged is missing, nothing is stored that was not sent, and what is stored twice counts once."""
    sent, acked, stored = homes.readings("sent"), homes.readings("acked"), Counter(tail.readings)
    assert len(acked) > 1000
    assert acked <= stored.keys(), f"{len(acked - stored.keys())} readings were acknowledged but not stored"
    assert stored.keys() <= sent, "readings were stored that were never sent"
    assert len(sent - acked) <= 3 * 16 * 3, "what was in flight at the kill was sent again and acknowledged"
    repeats = sum(stored.values()) - len(stored)
    assert repeats <= 3 * 16 * 3, "only what was in flight at the kill may have been stored twice"
    assert metrics == {"repeated": repeats, "refused": 0}


def check_delivery(plant: Plant, homes: Homes) -> None:
    """Delivered within 5 % of the award, by the plant's account and by the energy that really flowed.

    No interval is left out: during the plant's absence the homes hold their last command.
    """
    truth = {
        line["start_us"]: -sum(line["net_kwh"].values()) / 1000.0
        for line in homes.lines("energy")
        if line["end_us"] - line["start_us"] == INTERVAL_US
    }
    settled = [item for event in plant.market() for item in event.settled if item.award_mw is not None]
    awarded = sum(abs(item.awarded_mwh) for item in settled)
    assert awarded > 0.0
    missed = sum(abs(item.delivered_mwh - item.awarded_mwh) for item in settled)
    assert missed <= 0.05 * awarded, f"by the account {missed / awarded:.2%} of the awards was missed"
    known = [item for item in settled if item.interval_us in truth]
    assert len(known) >= len(settled) - 1
    awards = {item.interval_us: (item.award_mw or 0.0) * INTERVAL_US / MICROS_PER_HOUR for item in known}
    missed = sum(abs(truth[start] - award) for start, award in awards.items())
    really = missed / sum(abs(award) for award in awards.values())
    assert really <= 0.05, f"by the homes' own energy {really:.2%} of the awards was missed"


def check_commands(plant: Plant, homes: Homes) -> None:
    """Commands reach the homes in each interval with an award, are obeyed, and bear a new epoch after the kill."""
    commands = homes.lines("command")
    statuses = Counter(line["status"] for line in commands)
    assert statuses["applied"] >= 0.98 * len(commands), statuses
    assert {line["site"] for line in commands} == {line["site"] for line in homes.lines("acked")}
    epochs = [line["epoch"] for line in commands]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 2
    told = {line["time_us"] // INTERVAL_US for line in commands if line["status"] == "applied"}
    left = max(line["time_us"] for line in homes.lines("acked")) // INTERVAL_US
    awarded = {event.interval for event in plant.market() if event.bid is not None and event.interval < left}
    assert awarded, "no interval before the homes were stopped had an award"
    assert awarded <= told
