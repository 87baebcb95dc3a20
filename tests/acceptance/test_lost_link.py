"""The plant is killed for longer than its commands last: real homes go on by their policies until it is back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.processes import Homes, Plant, until

HOMES = 12


@pytest.mark.timeout(150)
def test_homes_of_a_dead_plant_go_by_their_policies_and_obey_it_again_when_it_is_back(tmp_path: Path) -> None:
    plant = Plant(tmp_path, "--speed", "300")
    homes = Homes(tmp_path, plant, "--homes", str(HOMES), "--seed", "3", "--period-s", "0.5")

    batteries: set[str] = set()

    def on(rung: str) -> bool:
        """Whether all homes with a battery, and only they, stood on `rung` at the end of the last 5 minutes."""
        return {site for site, own in rungs(homes.ledger).items() if own == rung} == batteries

    try:
        plant.start()
        homes.start()
        until("every home to report", plant.covered, 60.0)
        sites = plant.get(f"/api/v1/sites?limit={HOMES}")["sites"]
        batteries |= {site["site"] for site in sites if site["soc_ratio"] is not None}
        assert len(batteries) > HOMES // 2
        until("every home to obey", lambda: on("command"), 30.0)
        plant.kill()
        until("every home to go by its policy", lambda: on("policy"), 15.0)
        plant.start()
        until("every home to be back", plant.covered, 30.0)
        until("every home to obey again", lambda: on("command"), 30.0)
        assert homes.end() == 0
        assert plant.end() == 0
    finally:
        homes.kill()
        plant.kill()


def rungs(ledger: Path) -> dict[str, str]:
    """Where each home stood by the ledger's last 5 minutes; nothing yet if there are none."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    energy = (line for line in reversed(lines) if '"energy"' in line and line.endswith("}"))
    return dict(json.loads(next(energy, "{}")).get("rung", {}))
