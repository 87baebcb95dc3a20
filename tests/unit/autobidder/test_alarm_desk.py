"""The book of alarms outlives the process: what was raised, cleared and acknowledged is in the log with the turns."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from powerflock.alarms import AlarmSettings
from powerflock.autobidder import alarm_desk
from powerflock.autobidder.alarm_desk import AlarmsChanged
from powerflock.autobidder.runner import Runner
from powerflock.domain.errors import LogError, NotFound
from powerflock.domain.registry import Registry
from tests.unit.autobidder.test_runner import PARTITIONS, World
from tests.unit.plant.small import TICK_US, homes, ring_of

ALARM = "dropout:portfolio"
SETTINGS = replace(AlarmSettings(), settle_us=0, clear_us=TICK_US)


def runner_of(world: World, settings: AlarmSettings = SETTINGS) -> Runner:
    return Runner(world.log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), world.kept, alarms=settings)


def quiet(world: World, runner: Runner, minutes: int = 15) -> None:
    """Nobody reports, so many minutes."""
    for _ in range(minutes):
        runner.tick(world.now_us)
        world.minute += 1


@pytest.fixture
def dark() -> tuple[World, Runner]:
    """A plant that lost contact with all of its six homes."""
    world = World()
    runner = runner_of(world)
    runner.enrol(homes(6))
    world.live(runner, 3)
    quiet(world, runner)
    return world, runner


def changes(world: World) -> list[AlarmsChanged]:
    return [msgspec.msgpack.decode(entry.payload, type=AlarmsChanged) for entry in world.log.read("alarms", 0, 0)]


def test_an_alarm_is_raised_once_and_cleared_once_in_the_log(dark: tuple[World, Runner]) -> None:
    world, runner = dark
    assert [alarm.id for alarm in runner.alarms.book.active] == [ALARM]
    world.live(runner, 5)
    assert runner.alarms.book.active == ()
    raised = [[alarm.id for alarm in change.raised] for change in changes(world)]
    cleared = [[alarm.id for alarm in change.cleared] for change in changes(world)]
    assert (raised, cleared) == ([[ALARM], []], [[], [ALARM]])


def test_a_restart_finds_the_book_and_a_lasting_outage_is_not_raised_again(dark: tuple[World, Runner]) -> None:
    world, runner = dark
    runner.acknowledge(ALARM, "ana", world.now_us)
    again = runner_of(world, replace(SETTINGS, settle_us=3 * TICK_US))
    again.recover()
    (alarm,) = again.alarms.book.active
    assert (alarm.id, alarm.acknowledged_by, alarm.since_us) == (ALARM, "ana", runner.alarms.book.by_id[ALARM].since_us)
    quiet(world, again)
    assert [alarm.since_us for alarm in again.alarms.book.active] == [alarm.since_us]
    assert len(changes(world)) == 2, "one raised, one acknowledged"


def test_a_cleared_alarm_stays_until_somebody_acknowledges_it(dark: tuple[World, Runner]) -> None:
    world, runner = dark
    world.live(runner, 5)
    assert [alarm.state for alarm in runner.alarms.book.by_id.values()] == ["cleared"]
    seen = runner.acknowledge(ALARM, "ana", world.now_us)
    assert (seen.acknowledged_by, seen.acknowledged_us) == ("ana", world.now_us)
    assert not runner.alarms.book.by_id
    again = runner_of(world)
    again.recover()
    assert not again.alarms.book.by_id
    with pytest.raises(NotFound, match="not in the book"):
        again.acknowledge(ALARM, "ana", world.now_us)


def test_what_the_log_could_not_take_is_seen_by_nobody_and_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    runner = runner_of(world)
    runner.enrol(homes(6))
    world.live(runner, 3)

    def full(*_: object, **__: object) -> list[int]:
        msg = "the disk is full"
        raise LogError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(world.log, "transact", full)
        for _ in range(15):
            with pytest.raises(LogError):
                runner.tick(world.now_us)
            world.minute += 1
        assert not runner.alarms.book.by_id
    quiet(world, runner, 1)
    assert [alarm.id for alarm in runner.alarms.book.active] == [ALARM]
    assert [[alarm.id for alarm in change.raised] for change in changes(world)] == [[ALARM]]
    with monkeypatch.context() as patch:
        patch.setattr(world.log, "transact", full)
        with pytest.raises(LogError):
            runner.acknowledge(ALARM, "ana", world.now_us)
    assert runner.alarms.book.by_id[ALARM].acknowledged_us is None


def test_the_log_keeps_only_the_newest_changes(dark: tuple[World, Runner], monkeypatch: pytest.MonkeyPatch) -> None:
    world, runner = dark
    monkeypatch.setattr(alarm_desk, "KEPT", 4)
    for turn in range(10):
        runner.acknowledge(ALARM, f"operator {turn}", world.now_us)
    quiet(world, runner, 6)
    assert len(changes(world)) == 4
    again = runner_of(world)
    again.recover()
    assert [alarm.acknowledged_by for alarm in again.alarms.book.active] == ["operator 0"], "who was first"
