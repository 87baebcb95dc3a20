"""The plant's time goes on across restarts and never runs backwards."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from powerflock.compose.clockwork import Clockwork
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.errors import InvalidInput


def long_ago(file: Path, seconds: float) -> None:
    """Let the plant have stopped `seconds` earlier than it did."""
    text = file.read_text()
    anchor_wall = int(text.split('"wall_us":')[1].split(",")[0])
    file.write_text(text.replace(str(anchor_wall), str(anchor_wall - int(seconds * MICROS_PER_S))))
    moment = time.time() - seconds
    os.utime(file, (moment, moment))


def test_a_real_plant_runs_in_real_time_and_may_always_restart(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    for _ in range(3):
        clockwork = Clockwork.open(file, 1.0, simulated=False)
        clockwork.touch()
        assert abs(clockwork.clock.now_us() - time.time_ns() // 1000) < MICROS_PER_S
        assert clockwork.clock.speed == 1.0


@pytest.mark.parametrize("simulated", [True, False])
def test_time_goes_on_during_a_short_stop(tmp_path: Path, simulated: bool) -> None:
    file = tmp_path / "clock.json"
    first = Clockwork.open(file, 60.0, simulated=simulated)
    first.touch()
    before = first.clock.now_us()
    long_ago(file, 100.0)
    again = Clockwork.open(file, 60.0, simulated=simulated)
    assert before + 6000 * MICROS_PER_S <= again.clock.now_us() <= before + 6300 * MICROS_PER_S
    assert again.first_us == first.first_us


@pytest.mark.parametrize(("stopped_s", "speed"), [(700.0, 60.0), (0.0, 30.0), (100.0, 1.0), (0.0, 3600.0)])
def test_time_never_runs_back_after_a_long_stop_or_at_another_speed(
    tmp_path: Path, stopped_s: float, speed: float
) -> None:
    file = tmp_path / "clock.json"
    first = Clockwork.open(file, 60.0, simulated=True)
    first.touch()
    time.sleep(0.2)  # alive after the last touch, as when killed
    before = first.clock.now_us()
    if stopped_s:
        long_ago(file, stopped_s)
    again = Clockwork.open(file, speed, simulated=True)
    assert before <= again.clock.now_us() <= before + 60 * 7 * MICROS_PER_S


def test_a_plant_whose_time_ran_ahead_is_not_turned_back(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    Clockwork.open(file, 3600.0, simulated=False).touch()
    ahead = time.time() + 86_400.0
    os.utime(file, (ahead, ahead))
    with pytest.raises(InvalidInput, match=r"plant\.speed is 1\.0; would turn this plant's time back.*--data-dir"):
        Clockwork.open(file, 1.0, simulated=False)


def test_a_damaged_clock_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    file.write_text("{}")
    with pytest.raises(InvalidInput, match=r"clock\.json"):
        Clockwork.open(file, 60.0, simulated=True)
