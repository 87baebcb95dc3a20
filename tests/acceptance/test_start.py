"""Starting the demo: the page works within a minute the first time and, with all it had, whenever it starts again.

How long the next start takes is measured by the benchmark `start`.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import Plant, until


@pytest.mark.timeout(180)
def test_a_thousand_homes_are_live_within_a_minute_and_again_with_all_the_plant_had(tmp_path: Path) -> None:
    plant = Plant(tmp_path, "--demo", "--homes", "1000")
    try:
        assert seconds_to_live(plant) < 60.0
        until("intervals to be settled", lambda: plant.intervals() >= 2, 40.0)
        page = httpx.get(f"{plant.url}/")
        assert page.status_code == 200
        assert "<html" in page.text
        before = plant.state()
        assert plant.end() == 0
        assert seconds_to_live(plant) < 60.0
        state = plant.state()
    finally:
        plant.kill()
    assert before is not None
    assert state is not None
    assert state["time"] > before["time"]
    assert state["sites"] == before["sites"] == 1000
    assert state["account"]["intervals"] >= before["account"]["intervals"]


def test_the_homes_of_a_killed_demo_go_with_it_and_the_next_start_has_its_own(tmp_path: Path) -> None:
    plant = Plant(tmp_path, "--demo", "--homes", "10")
    try:
        seconds_to_live(plant)
        assert fleets(plant) == 1
        plant.kill()
        until("the homes to be gone", lambda: fleets(plant) == 0, 10.0)
        seconds_to_live(plant)
        assert fleets(plant) == 1
        assert plant.end() == 0
        assert fleets(plant) == 0
    finally:
        plant.kill()
    assert "replaced" not in plant.said()


def fleets(plant: Plant) -> int:
    """How many processes of simulated homes run at the plant's gateway."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return sum(" fleet " in command and plant.ws in command for command in listed.splitlines())


def seconds_to_live(plant: Plant) -> float:
    """From the process's start to the first live number."""
    start = time.monotonic()
    plant.start()

    def live() -> bool:
        state = plant.state()
        return state is not None and state["phase"] == "running" and state["output"]["delivered_mw"] is not None

    until("the first live number", live, 60.0)
    return time.monotonic() - start
