"""A plant's history in its own thread: it follows, it is asked, and its failures stay its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from powerflock.api.series import ExportQuery, RevisionsQuery, SeriesQuery
from powerflock.autobidder.records import Followers
from powerflock.autobidder.runner import Runner
from powerflock.compose.past import BackgroundHistory, HistorySource, followers
from powerflock.domain.batches import encode
from powerflock.domain.clock import VirtualClock
from powerflock.domain.registry import Registry
from powerflock.history.storage import Storage
from powerflock.log.memory import MemoryLog
from powerflock.sections import HistorySettings
from tests.unit.plant.small import START_US, Meters, homes, ring_of

SPAN = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-16T00:00:00Z"}


def until(ready: Callable[[], bool]) -> None:
    """A minute at most: the thread's first step imports what it needs."""
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Plant:
    """A runner of three homes in one partition, with a history."""

    def __init__(self, folder: Path, **settings: float) -> None:
        self.log, storage = MemoryLog(), Storage(folder)
        own = HistorySettings.model_validate({"batch_s": 0.1, "groups_every_s": 60, **settings})
        self.runner = Runner(self.log, lambda epoch: ring_of(Registry.empty(1), epoch), None, followers=followers(own))
        self.runner.enrol(homes(3))
        self.history = BackgroundHistory(own, self.log, storage, VirtualClock(START_US), late_us=120_000_000)
        self.source = HistorySource(storage)
        self.meters = Meters(homes(3))

    def turn(self, minute: int) -> None:
        now_us = START_US + minute * 60_000_000
        self.log.append("telemetry", 0, encode(self.meters.read(now_us)))
        self.history.offer(self.runner.tick(now_us))


def test_readings_and_groups_of_a_running_plant_can_be_asked_for(tmp_path: Path) -> None:
    plant = Plant(tmp_path, compact_every_s=10)
    plant.history.start(plant.runner)
    for minute in range(4):
        plant.turn(minute)
    until(lambda: plant.history.gauges()[0].value == 40)  # four turns of six devices and four groups
    plant.history.stop()
    group = plant.source.series(SeriesQuery.model_validate({"group": "VIC1/f0", "method": "raw", **SPAN}))
    assert (group.of, group.rows) == ("VIC1/f0", 4)
    device = plant.source.series(SeriesQuery.model_validate({"site": "h0", "method": "raw", **SPAN}))
    assert device.of == "h0/meter"
    assert device.value == pytest.approx([0.8] * 4)
    exported = b"".join(plant.source.export(ExportQuery.model_validate({"site": "h0", **SPAN})))
    assert exported.count(b"\n") == 5
    assert plant.source.revisions(RevisionsQuery.model_validate(SPAN)) == []
    assert plant.history.trouble == ""


def test_groups_are_written_no_oftener_than_asked(tmp_path: Path) -> None:
    plant = Plant(tmp_path, groups_every_s=120)
    plant.history._runner = plant.runner
    for minute in range(6):
        plant.turn(minute)
    assert plant.log.end("groups", 0) == 3


def test_a_history_that_cannot_be_written_is_told_and_the_plant_goes_on(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("in the way")
    plant = Plant(tmp_path)
    plant.history.start(plant.runner)
    until(lambda: plant.history.trouble != "")
    plant.turn(0)
    assert "history" in plant.history.trouble
    assert "powerflock_history_failures_total 0" not in plant.history.metrics()
    plant.history.stop()


def test_a_closed_log_fails_no_turn(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.history._runner = plant.runner
    plant.log.append("telemetry", 0, encode(plant.meters.read(START_US)))
    turn = plant.runner.tick(START_US)
    plant.log.close()
    plant.history.offer(turn)
    assert "closed" in plant.history.trouble


def test_nobody_is_waited_for_where_history_is_off() -> None:
    assert followers(HistorySettings(enabled=False)) == Followers()
    assert followers(HistorySettings(lag_entries=7)) == Followers(("historian",), 7)
