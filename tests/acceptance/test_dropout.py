"""A cable is cut, and a third of a region is gone: the plant tells it in one alarm, promises less, and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.sim import homes
from tests.acceptance.processes import Homes, Plant, until

HOMES, CUT, SEED, HOURS = 200, 15, 3, 24
SETTINGS = """
[plant]
speed = 60.0
[alarms]
settle_s = 3.0
return_s = 1.0
clear_s = 2.0
"""
WITHIN_S = 2.0


def write_homes(file: Path, chosen: list[int]) -> Path:
    """These of the generated homes with a battery each, hour by hour, as a homes file."""
    made = homes.generate(HOMES, SEED, 1, 0)
    hourly = (made.profiles.load_kw, -made.profiles.solar_kw)
    load, solar = (kw.reshape(HOMES, HOURS, -1).mean(axis=2)[chosen].astype(np.float64) for kw in hourly)
    specs = [made.specs[home] for home in chosen for _ in range(HOURS)]
    times = np.tile(np.arange(HOURS) * MICROS_PER_HOUR, len(chosen))
    columns = {
        "site": [spec.site for spec in specs],
        "interval_start": pa.array(times, pa.timestamp("us", "UTC")),
        "load_kwh": load.ravel(),
        "solar_kwh": solar.ravel(),
        "feeder": [spec.feeder for spec in specs],
        "region": [spec.region for spec in specs],
        "battery_kwh": [13.5] * len(specs),
    }
    pq.write_table(pa.table(columns), file)
    return file


@pytest.mark.timeout(400)
def test_a_third_of_a_region_lost_at_once_is_one_alarm_and_less_is_promised_until_it_is_back(tmp_path: Path) -> None:
    config = tmp_path / "plant.toml"
    config.write_text(SETTINGS)
    plant = Plant(tmp_path, "--config", str(config))
    region = [home for home, spec in enumerate(homes.generate(HOMES, SEED, 1, 0).specs) if spec.region == "west"]
    cut, rest = region[:CUT], sorted({*range(HOMES)} - {*region[:CUT]})
    assert 0.25 < CUT / len(region) < 0.35
    fleets = [fleet(tmp_path, plant, "cut", cut), fleet(tmp_path, plant, "rest", rest)]
    try:
        plant.start()
        for each in fleets:
            each.start()
        until("every home to report", lambda: plant.covered() and sites(plant) == HOMES, 180.0)
        settled = plant.intervals()
        until("intervals and contact to settle", lambda: plant.intervals() >= settled + 3, 40.0)
        assert plant.get("/api/v1/alarms") == [], "nothing is wrong yet"
        before, firm, offered = known(plant), firm_kw(plant), offered_mw(plant)
        fleets[0].kill()
        told_s = until("coverage to fall", lambda: known(plant)["coverage"]["fresh"] == HOMES - CUT, 10.0)
        assert told_s < WITHIN_S, "at once: the gateway sees the sockets close"
        until("firm capacity to fall", lambda: firm_kw(plant) < 0.97 * firm, WITHIN_S)
        until("an alarm", lambda: known(plant)["alarms"]["critical"] > 0, WITHIN_S)
        (alarm,) = plant.get("/api/v1/alarms")
        assert (alarm["id"], alarm["state"], alarm["sites"]) == ("dropout:region:west", "active", CUT)
        assert before["alarms"]["critical"] == 0
        assert len(alarm["examples"]) == 10
        assert all(example.startswith("home-") for example in alarm["examples"])
        until("the next bid to be smaller", lambda: offered_mw(plant) < 0.97 * offered, 15.0)
        acknowledge(plant, alarm["id"])
        assert plant.metric('powerflock_alarms{rule="dropout",severity="critical"}') == 1.0
        fleets[0].start()
        until("every home to be back", plant.covered, 120.0)
        until("the alarm to clear", lambda: plant.get("/api/v1/alarms") == [], 15.0)
        until("firm capacity to be back", lambda: firm_kw(plant) > 0.9 * firm, 15.0)
        assert [each.end() for each in fleets] == [0, 0]
        assert plant.end() == 0
    finally:
        for each in fleets:
            each.kill()
        plant.kill()


def fleet(folder: Path, plant: Plant, name: str, chosen: list[int]) -> Homes:
    """A process of its own for these homes."""
    own = folder / name
    own.mkdir()
    file = write_homes(own / "homes.parquet", chosen)
    return Homes(own, plant, "--homes-file", str(file), "--period-s", "1", "--state", str(own / "homes.npz"))


def known(plant: Plant) -> dict[str, Any]:
    state = plant.state()
    assert state is not None
    return state


def sites(plant: Plant) -> int:
    return int(known(plant)["sites"])


def firm_kw(plant: Plant) -> float:
    """What the portfolio can still move, both ways, after its worst failure: that stays while batteries move."""
    (row,) = [group for group in plant.get("/api/v1/groups") if group["level"] == "portfolio"]
    return float(row["firm_up_kw"] + row["firm_down_kw"])


def offered_mw(plant: Plant) -> float:
    """All that the bid in force offers between its cheapest and its dearest price."""
    bid = known(plant)["bid"]
    return 0.0 if bid is None else sum(float(band["quantity_mw"]) for band in bid["bands"])


def acknowledge(plant: Plant, alarm: str) -> None:
    """As an operator does, who has the plant's key; without it nobody can."""
    path = f"{plant.url}/api/v1/alarms/{alarm}/acknowledge"
    assert httpx.post(path, json={"by": "ana"}).status_code == 401
    key = {"authorization": f"Bearer {plant.enrol_key.read_text()}"}
    assert httpx.post(path, json={"by": "ana"}, headers=key).json()["acknowledged_by"] == "ana"
    assert known(plant)["alarms"]["unacknowledged"] == 0
