"""The homes' process is killed: the plant says that it no longer knows, estimates on, and recovers when they return."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import Homes, Plant, until

HOMES = 24
MOST_MWH = HOMES * 15.0 / 1000.0 / 12.0
"""More than so many connections of 15 kW can carry in 5 minutes."""


@pytest.mark.timeout(150)
def test_silent_homes_are_estimated_and_counted_as_silent_until_they_return(tmp_path: Path) -> None:
    config = tmp_path / "plant.toml"
    config.write_text("[plant]\nspeed = 60.0\n[estimate]\nstale_after_s = 1.5\nsilent_after_s = 3.0\n")
    plant = Plant(tmp_path, "--config", str(config))
    homes = Homes(
        tmp_path,
        plant,
        "--homes",
        str(HOMES),
        "--seed",
        "3",
        "--period-s",
        "0.5",
        "--state",
        str(tmp_path / "homes.npz"),
    )
    try:
        plant.start()
        homes.start()
        until("every home to report", plant.covered, 60.0)
        until("intervals to be settled", lambda: plant.intervals() >= 3, 40.0)
        homes.kill()
        stale, silent = (until_counted(plant, kind) for kind in ("stale", "silent"))
        assert stale["output"]["delivered_mw"] is not None
        assert silent["output"]["delivered_mw"] is not None, "what still flows stays in the total, estimated"
        assert silent["coverage"]["ratio"] == 0.0
        assert plant.get("/api/v1/sites?freshness=silent&limit=1")["total"] == HOMES
        group = plant.get("/api/v1/groups")[0]
        assert group["std_kw"] > 0.0, "an estimate says how sure it is"
        time.sleep(3.0)
        later = plant.get("/api/v1/groups")[0]
        assert later["std_kw"] > group["std_kw"], "and grows less sure"
        settled = plant.intervals()
        homes.start()
        back_s = until("every home to be back", plant.covered, 30.0)
        until("two intervals with the homes back", lambda: plant.intervals() >= settled + 4, 40.0)
        accounts = plant.get("/api/v1/accounts?limit=500")
        assert homes.end() == 0
        assert plant.end() == 0
    finally:
        homes.kill()
        plant.kill()
    assert back_s < 10.0
    check_books(accounts)


def until_counted(plant: Plant, kind: str) -> dict[str, Any]:
    """The state once every home is of this `kind`."""
    states: list[dict[str, Any]] = []

    def counted() -> bool:
        state = plant.state()
        states.append(state or {})
        return state is not None and state["coverage"][kind] == HOMES

    until(f"every home to be {kind}", counted, 15.0)
    return states[-1]


def check_books(accounts: list[dict[str, Any]]) -> None:
    """A gap in the readings brings neither phantom energy nor phantom losses of the owners."""
    assert max(abs(row["delivered_mwh"]) for row in accounts) < MOST_MWH
    assert max(row["owner_payments"] for row in accounts) < 0.1 * HOMES, accounts
