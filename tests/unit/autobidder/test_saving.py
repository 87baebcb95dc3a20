"""Snapshots are written beside the turns: a slow or full disk delays no turn, and costs no reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from powerflock.autobidder.runner import Runner
from powerflock.autobidder.saving import Copies, Saving
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import Registry
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, load, state_hash
from tests.unit.autobidder.test_runner import PARTITIONS, Kept, World
from tests.unit.plant.small import homes, ring_of
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of

INTERVAL_TICKS = 5


class SlowDisk(Kept):
    """A disk that answers only while `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def save(self, mark: Mark, payload: bytes) -> None:
        assert self.gate.wait(60)
        super().save(mark, payload)


class FullDisk(Kept):
    """A disk that takes nothing while `full`, or nothing of one partition."""

    def __init__(self) -> None:
        super().__init__()
        self.full, self.refuses = True, -1

    def save(self, mark: Mark, payload: bytes) -> None:
        if self.full or mark.partition == self.refuses:
            raise OSError(28, "No space left on device")
        super().save(mark, payload)

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().save_outlook(time_us, payload)


@pytest.fixture
def writer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def owner(world: World, writer: ThreadPoolExecutor | None) -> Runner:
    runner = Runner(world.log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), world.kept, None, writer)
    runner.recover()
    runner.enrol(homes(6))
    return runner


def savings(runner: Runner) -> Saving:
    assert runner.saving is not None
    return runner.saving


def same_after_a_restart(world: World, runner: Runner) -> None:
    again = owner(world, None)
    again.tick(world.now_us)
    told, readings = [], []
    for ring in (runner.ring, again.ring):
        told.append([shard.twins.sites["answered_seq"].tobytes() for shard in ring.shards])
        readings.append([shard.twins.devices.tobytes() for shard in ring.shards])
    assert readings[0] == readings[1]
    assert told[0] == told[1]


def test_turns_go_on_while_a_disk_hangs_and_one_snapshot_is_left_out_not_queued(writer: ThreadPoolExecutor) -> None:
    disk = SlowDisk()
    world = World(kept=disk)
    runner = owner(world, writer)
    world.live(runner, 3 * INTERVAL_TICKS)
    assert disk.twins == {}
    assert savings(runner).skipped >= 2
    disk.gate.set()
    writer.submit(int).result()  # what was under way is done: the pool has one thread
    world.live(runner, INTERVAL_TICKS)
    assert savings(runner).saved >= PARTITIONS
    assert {len(kept) for kept in disk.twins.values()} <= {1, 2}


def test_what_is_saved_is_the_moment_of_the_turn_whatever_came_since(writer: ThreadPoolExecutor) -> None:
    disk = SlowDisk()
    twins = Shard.of(table_of([home("a")]))
    step(twins, batch_of(reading(0, 1, 1.0)), NOW_US)
    then = state_hash(twins)
    saving = Saving(disk, writer)
    saving.begin(Copies([(Mark(0, 1, 1), twins.copy())], None))
    step(twins, batch_of(reading(0, 2, 2.0)), NOW_US)
    disk.gate.set()
    writer.submit(int).result()
    assert [mark.offset for mark in saving.finished()] == [1]
    assert state_hash(load(disk.twins[0][0], twins.table)[0]) == then != state_hash(twins)


def test_no_reading_is_forgotten_before_a_snapshot_of_it_is_complete(writer: ThreadPoolExecutor) -> None:
    world = World(kept=SlowDisk())
    runner = owner(world, writer)
    world.live(runner, 4 * INTERVAL_TICKS)
    assert world.log.read("telemetry", 0, 0)[0].offset == 0
    assert isinstance(world.kept, SlowDisk)
    world.kept.gate.set()
    writer.submit(int).result()
    world.live(runner, 4 * INTERVAL_TICKS)
    assert world.log.read("telemetry", 0, 0)[0].offset > 0, "and then the log shrinks again"


def test_a_full_disk_is_shown_and_stops_nothing_and_a_restart_finds_everything() -> None:
    disk = FullDisk()
    world = World(kept=disk)
    runner = owner(world, None)
    world.live(runner, 3 * INTERVAL_TICKS)
    assert savings(runner).failed >= PARTITIONS
    assert savings(runner).saved == 0
    assert "No space left" in savings(runner).trouble
    same_after_a_restart(world, runner)
    runner = owner(world, None)
    disk.full = False
    world.live(runner, 2 * INTERVAL_TICKS)
    assert savings(runner).trouble == ""
    same_after_a_restart(world, runner)


def test_one_partition_that_cannot_be_saved_keeps_its_log_and_the_others_go_on() -> None:
    disk = FullDisk()
    disk.full, disk.refuses = False, 1
    world = World(kept=disk)
    runner = owner(world, None)
    world.live(runner, 5 * INTERVAL_TICKS)
    assert "partition 1 was not saved" in savings(runner).trouble
    assert world.log.read("telemetry", 0, 0)[0].offset > 0
    assert world.log.read("telemetry", 1, 0)[0].offset == 0
    same_after_a_restart(world, runner)


def test_a_restart_keeps_the_log_back_to_the_snapshot_that_it_used() -> None:
    """The newest snapshot on disk may be many intervals old; one new one does not make it useless."""
    world = World()
    runner = owner(world, None)
    world.live(runner, 3 * INTERVAL_TICKS)
    disk = FullDisk()
    disk.twins = {partition: list(payloads) for partition, payloads in world.kept.twins.items()}
    world.kept = disk
    world.live(owner(world, None), 3 * INTERVAL_TICKS)
    disk.full = False
    again = owner(world, None)
    world.live(again, INTERVAL_TICKS)
    assert savings(again).saved == PARTITIONS
    for partition, payloads in disk.twins.items():
        oldest = load(payloads[0], again.ring.shards[partition].twins.table)[1]
        assert oldest.offset < 3 * INTERVAL_TICKS
        assert world.log.read("telemetry", partition, 0)[0].offset <= oldest.offset


def test_a_defect_is_raised_in_the_turn_not_swallowed() -> None:
    class Broken(Kept):
        def save(self, mark: Mark, payload: bytes) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        owner(World(kept=Broken()), None).tick(World().now_us)


@pytest.mark.parametrize("error", [InvalidInput("bucket", "x", "must exist"), MemoryError()])
def test_every_failure_has_a_reason(error: Exception) -> None:
    class Failing(Kept):
        def save(self, mark: Mark, payload: bytes) -> None:
            raise error

    saving = Saving(Failing(), None)
    saving.begin(Copies([(Mark(3, 1, 1), Shard.empty())], None))
    assert saving.finished() == ()
    assert saving.trouble.startswith("partition 3 was not saved: ")
    assert len(saving.trouble) > len("partition 3 was not saved: ")
