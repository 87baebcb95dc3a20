"""A twins process owns what its group gives it, whoever else claims it by mistake, and nothing that others own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from powerflock.autobidder.enrolment import LogRegistrar
from powerflock.autobidder.partition import PartitionRunner
from powerflock.compose.roles.process import Parts
from powerflock.compose.roles.twins import Twins
from powerflock.domain.batches import encode as encode_batch
from powerflock.domain.errors import LogError
from powerflock.domain.registry import Registry
from powerflock.log.memory import MemoryLog
from powerflock.plant.messages import Order, encode
from tests.acceptance.processes import until
from tests.unit.compose.roles.conftest import ELSEWHERE, HERE, Told
from tests.unit.plant.small import Meters, homes


class Answered:
    """A membership whose group has answered, or not."""

    def __init__(self, joined: bool) -> None:
        self._joined = joined

    def joined(self) -> bool:
        return self._joined

    def owned(self) -> frozenset[int]:
        return frozenset()

    def close(self) -> None:
        pass


@pytest.fixture
def twins(parts: Parts) -> Iterator[Twins]:
    role = Twins(parts)
    parts.log.append("orders", 0, encode(Order(parts.clock.now_us(), 1, 90.0, np.zeros(0))))
    role.assigned([0, 1])
    turned(role, {0, 1})
    yield role
    role._writer.shutdown()


def turned(role: Twins, owned: set[int]) -> None:
    """Tick until it turns just these."""

    def tick() -> bool:
        role._tick()
        return set(role._runners) == owned

    until(f"partitions {owned}", tick, 30.0)


def test_a_process_is_ready_only_with_an_answer_of_its_group_and_the_partitions_it_was_given(parts: Parts) -> None:
    """Else a rolling update ends the next process while nobody turns this one's partitions."""
    role = Twins(parts)
    parts.log.append("orders", 0, encode(Order(parts.clock.now_us(), 1, 90.0, np.zeros(0))))
    assert role.waits_for() == "membership of the group"
    role._membership = Answered(False)
    assert role.waits_for() == "membership of the group"
    role._membership = Answered(True)
    role.assigned([0, 1])
    assert role.waits_for() == "recovery of partitions [0, 1]"
    turned(role, {0, 1})
    assert role.waits_for() == ""
    role._writer.shutdown()


def test_a_partition_claimed_by_one_that_had_lost_it_is_claimed_back(twins: Twins, parts: Parts, groups: Told) -> None:
    """Else the group gives it to a process that does not turn it, and no one ever does."""
    groups.owner = {0: HERE, 1: HERE}
    epoch = twins._runners[0].member.epoch
    parts.log.claim("twins-0", "one that stood still while it took the partition over")
    twins._tick()
    assert set(twins._runners) == {1}
    turned(twins, {0, 1})
    assert twins._runners[0].member.epoch > epoch
    assert twins._fenced == 1


def test_a_partition_that_went_to_another_process_is_left_to_it(twins: Twins, parts: Parts, groups: Told) -> None:
    groups.owner = {0: ELSEWHERE, 1: HERE}
    theirs = parts.log.claim("twins-0", "its new owner")
    for _ in range(5):
        twins._tick()
    assert set(twins._runners) == {1}
    parts.log.transact([("reports", 0, b"theirs")], claim=theirs)  # raises where the claim was taken back
    twins.lost([0])
    assert twins._wanted == {1}


def test_a_partition_that_went_and_came_back_is_turned_again(twins: Twins) -> None:
    twins.revoked([0])
    turned(twins, {1})
    twins.assigned([0])
    turned(twins, {0, 1})


def test_a_partition_comes_with_its_readings_taken_so_the_others_turns_do_not_wait_for_them(parts: Parts) -> None:
    """Those of an interval are millions; a turn takes only what came since."""
    specs = homes(4)
    LogRegistrar(parts.log, Registry.empty(2)).enrol(specs, parts.log.claim("enrolment", "test"))
    readings = Meters(specs, 0, 2).read(parts.clock.now_us())
    parts.log.append("telemetry", 0, encode_batch(readings))
    role = Twins(parts)
    runner = role._recovered(0)
    assert runner.counts.applied == readings.size > 0
    assert not role._runners, "no turn was needed"
    role._writer.shutdown()


def test_a_partition_whose_readings_are_of_a_later_version_is_owned_and_tells_it(parts: Parts) -> None:
    parts.log.append("orders", 0, encode(Order(parts.clock.now_us(), 1, 90.0, np.zeros(0))))
    parts.log.append("telemetry", 1, b"of a later version")
    role = Twins(parts)
    role.assigned([0, 1])
    turned(role, {0, 1})
    role._tick()
    assert "partition 1" in role._trouble
    assert parts.log.end("reports", 0) > 0
    assert parts.log.end("reports", 1) == 0
    role._writer.shutdown()


def test_a_batch_of_a_later_version_stops_its_partition_alone_and_is_told(twins: Twins, parts: Parts) -> None:
    assert isinstance(parts.log, MemoryLog)
    parts.log.append("telemetry", 1, b"of a later version")
    ends = [parts.log.end("reports", part) for part in range(2)]
    twins._tick()
    assert parts.log.end("reports", 0) > ends[0]
    assert parts.log.end("reports", 1) == ends[1]
    assert "partition 1" in twins._trouble


def test_a_partition_that_cannot_be_taken_over_is_tried_at_each_tick_and_holds_up_no_plans(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, go = Twins(parts), threading.Event()

    def refused(partition: int) -> PartitionRunner:
        go.wait()
        raise LogError(f"nobody reads partition {partition}")

    monkeypatch.setattr(role, "_recovered", refused)
    role.assigned([0, 1])
    role._take_over()
    assert role._recovers(), "plans leave the cores to a first try"
    role._changed.clear()
    go.set()
    until("both tries to fail", lambda: all(future.done() for future in role._starting.values()), 30.0)
    assert not role._changed.is_set(), "a failure waits for its tick"
    assert "could not be taken over" in role._take_over()
    go.clear()
    role._take_over()
    assert set(role._starting) == {0, 1}
    assert not role._recovers(), "plans do not wait for what failed before"
    go.set()
    role._recovery.shutdown()
    role._writer.shutdown()


def test_a_partition_that_has_recovered_is_turned_without_waiting_for_a_tick(parts: Parts) -> None:
    role = Twins(parts)
    parts.log.append("orders", 0, encode(Order(parts.clock.now_us(), 1, 90.0, np.zeros(0))))
    role.assigned([0])
    assert role._changed.is_set()
    role._changed.clear()
    role._tick()
    until("the end of its recovery to be told", role._changed.is_set, 30.0)
    turned(role, {0})
    role._recovery.shutdown()
    role._writer.shutdown()
