"""The plant survives being stopped at any moment: nothing acknowledged is lost or counts twice, one owner writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from powerflock.autobidder.records import SEQUENCES_PER_EPOCH, Followers
from powerflock.autobidder.runner import Runner
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import COMMAND
from powerflock.domain.errors import DamagedSnapshot, LogError
from powerflock.domain.policy import Policy
from powerflock.domain.registry import Registry
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Fenced
from powerflock.plant.model import Turn
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.ring import Ring
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, state_hash
from tests.unit.plant.small import LENGTH_US, START_US, TICK_US, Meters, flow, homes, ring_of

PARTITIONS = 2


@dataclass
class Kept:
    """Snapshots in memory, the newest two of each kind, as a disk would keep them over a crash."""

    twins: dict[int, list[bytes]] = field(default_factory=dict)
    learned: list[bytes] = field(default_factory=list)

    def save(self, mark: Mark, payload: bytes) -> None:
        self.twins[mark.partition] = [*self.twins.get(mark.partition, []), payload][-2:]

    def newest(self, partition: int, decode: Callable[[bytes], tuple[Shard, Mark]]) -> tuple[Shard, Mark] | None:
        for payload in reversed(self.twins.get(partition, [])):
            with suppress(DamagedSnapshot):
                return decode(payload)
        return None

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        self.learned = [payload]

    def load_outlook(self, load: Callable[[bytes], None]) -> None:
        for payload in self.learned:
            load(payload)


@dataclass
class World:
    """A log, snapshots and the homes outside: what outlives a process."""

    log: MemoryLog = field(default_factory=MemoryLog)
    kept: Kept = field(default_factory=Kept)
    meters: list[Meters] = field(default_factory=lambda: [Meters(homes(6), part, PARTITIONS) for part in range(2)])
    minute: int = 0

    @property
    def now_us(self) -> int:
        return START_US + self.minute * TICK_US

    def runner(self) -> Runner:
        return Runner(self.log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), self.kept)

    def report(self) -> list[bytes]:
        """One batch of readings for each partition into the log; returns them."""
        payloads = [encode(meters.read(self.now_us)) for meters in self.meters]
        for partition, payload in enumerate(payloads):
            self.log.append("telemetry", partition, payload)
        return payloads

    def live(self, runner: Runner, minutes: int) -> None:
        """Readings in, a tick, commands obeyed, a minute later, so many times."""
        for _ in range(minutes):
            self.report()
            turn = runner.tick(self.now_us)
            for meters, commands in zip(self.meters, turn.commands, strict=True):
                meters.obey(commands)
                meters.run(TICK_US)
            self.minute += 1


def twins(ring: Ring) -> list[str]:
    return [state_hash(shard.twins) for shard in ring.shards]


def started(minutes: int) -> tuple[World, Runner]:
    world = World()
    runner = world.runner()
    assert runner.enrol(homes(6)).reasons == {}
    world.live(runner, minutes)
    return world, runner


@pytest.mark.parametrize("minutes", [1, 4, 6, 13])
def test_after_an_abrupt_stop_everything_is_there_again(minutes: int) -> None:
    world, first = started(minutes)
    second = world.runner()
    second.recover()
    assert [second.ring.registry.specs(part) for part in range(PARTITIONS)] == [
        first.ring.registry.specs(part) for part in range(PARTITIONS)
    ]
    assert second.ring.account == first.ring.account
    assert second.ring.award == first.ring.award, "the open interval goes on with its award"
    assert second.ring.opened_us == first.ring.opened_us
    assert [item.interval for item in second.awards] == [item.interval for item in first.awards]
    told = [shard.twins.sites.tobytes() for shard in first.ring.shards]
    assert [shard.twins.sites.tobytes() for shard in second.ring.shards] == told, "what every site was told is known"
    second.tick(world.now_us - TICK_US // 2)
    readings = [shard.twins.devices.tobytes() for shard in first.ring.shards]
    assert [shard.twins.devices.tobytes() for shard in second.ring.shards] == readings


def test_the_open_interval_is_settled_with_all_of_its_energy() -> None:
    """Stopped two minutes into an interval; the account then is what it would have been."""
    through, unbroken = started(8)
    through.live(unbroken, 4)
    world, _ = started(8)
    after = world.runner()
    after.recover()
    world.live(after, 4)
    whole, again = unbroken.ring.account, after.ring.account
    assert again.intervals == whole.intervals == 2
    assert again.delivered_mwh == pytest.approx(whole.delivered_mwh, rel=0.02)
    assert again.awarded_mwh == pytest.approx(whole.awarded_mwh)


def test_energy_is_settled_where_it_flowed_though_no_tick_is_just_at_an_intervals_end() -> None:
    world, random = World(), np.random.default_rng(3)
    runner = world.runner()
    runner.enrol(homes(6))
    now_us, truth_kwh = START_US, dict[int, float]()
    for step in range(40):
        for meters in world.meters:
            meters.load_kw = random.uniform(-3.0, 5.0, meters.load_kw.size)
        for partition, meters in enumerate(world.meters):
            world.log.append("telemetry", partition, encode(meters.read(now_us)))
        if step == 20:
            runner = world.runner()
            runner.recover()
        runner.tick(now_us)
        flow(world.meters, now_us, now_us + 47_000_000, truth_kwh)
        now_us += 47_000_000
    told = {item.interval_us // LENGTH_US: -1000.0 * item.delivered_mwh for item in runner.settled}
    assert told == {number: pytest.approx(truth_kwh[number], abs=1e-6) for number in told}
    assert len(told) == 6


def test_what_a_log_could_not_take_is_seen_by_nobody_and_written_at_the_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, runner = started(4)
    shown, events = len(runner.rows), [event.interval for event in runner.awards]

    def full(*_: object) -> list[int]:
        msg = "the disk is full"
        raise LogError(msg)

    world.minute = 5
    with monkeypatch.context() as patch:
        patch.setattr(world.log, "transact", full)
        with pytest.raises(LogError, match="full"):
            runner.tick(world.now_us)
    assert (len(runner.rows), [event.interval for event in runner.awards]) == (shown, events)
    runner.tick(world.now_us + TICK_US // 2)
    assert [event.interval for event in runner.awards] == [*events, events[-1] + 1], "what began is not lost"
    again = world.runner()
    again.recover()
    assert [event.interval for event in again.awards] == [event.interval for event in runner.awards]
    assert again.ring.account == runner.ring.account


def test_readings_sent_twice_count_once() -> None:
    world, runner = started(3)
    payloads = world.report()
    runner.tick(world.now_us)
    before = twins(runner.ring)
    for partition, payload in enumerate(payloads):
        world.log.append("telemetry", partition, payload)
    runner.tick(world.now_us + 1)
    assert twins(runner.ring) == before
    assert runner.counts.repeated == 12
    assert runner.counts.applied == 4 * 12


def test_readings_that_come_during_a_long_tick_are_taken_by_the_next_and_refused_by_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a restart, whose first turn is at the end of an interval that has passed and takes its time."""
    world, runner = started(4)
    world.minute = 8
    turn = runner.ring.turn

    def slow(now_us: int) -> Turn:
        world.minute += 2
        world.report()
        return turn(now_us)

    with monkeypatch.context() as patch:
        patch.setattr(runner.ring, "turn", slow)
        runner.tick(world.now_us)
    assert runner.counts.applied == 4 * 12
    runner.tick(world.now_us)
    assert (runner.counts.refused, runner.counts.applied) == (0, 6 * 12)


def test_a_second_owner_fences_the_first_before_it_can_write() -> None:
    world, first = started(2)
    second = world.runner()
    second.recover()
    ends = {topic: world.log.end(topic, 0) for topic in ("commands", "market", "registry")}
    world.report()
    with pytest.raises(Fenced):
        first.tick(world.now_us)
    with pytest.raises(Fenced):
        first.enrol([*homes(7)][6:])
    assert {topic: world.log.end(topic, 0) for topic in ends} == ends
    assert second.tick(world.now_us).commands is not None


def test_a_new_owners_commands_are_numbered_above_all_of_the_old_ones() -> None:
    world, first = started(3)
    second = world.runner()
    second.recover()
    world.live(second, 2)
    assert second.first_seq == first.first_seq + SEQUENCES_PER_EPOCH
    rows = [decode(entry.payload, COMMAND) for entry in world.log.read("commands", 0, 0)]
    commands = np.concatenate(rows)
    for site in np.unique(commands["site"]):
        own = commands[commands["site"] == site]
        assert (np.diff(own["seq"]) > 0).all()
        assert (np.diff(own["epoch"]) >= 0).all()
    assert set(commands["epoch"]) == {1, 2}


def test_refused_homes_are_named_and_the_others_enrolled() -> None:
    world = World()
    runner = world.runner()
    bad = homes(1)[0].__class__("bad one", "f", "r", homes(1)[0].tariff)
    outcome = runner.enrol([*homes(2), bad])
    assert list(outcome.reasons) == ["bad one"]
    assert outcome.applied == 2
    kept = [world.log.end("registry", part) for part in range(PARTITIONS)]
    assert runner.enrol([bad]).applied == 0
    assert [world.log.end("registry", part) for part in range(PARTITIONS)] == kept, "asking again fills no disk"
    again = world.runner()
    again.recover()
    assert sum(shard.sites for shard in again.ring.shards) == 2


def test_enrolling_the_same_homes_again_changes_nothing() -> None:
    world, runner = started(1)
    before = [world.log.end("registry", part) for part in range(PARTITIONS)]
    assert runner.enrol(homes(6)).reasons == {}
    assert [world.log.end("registry", part) for part in range(PARTITIONS)] == before


def test_telemetry_that_is_in_a_snapshot_does_not_pile_up() -> None:
    world, runner = started(12)
    world.live(runner, 5)
    kept = world.log.read("telemetry", 0, 0)
    assert len(kept) <= 2 * 5 + 2


def policies(world: World) -> list[list[PolicyBatch]]:
    """What the log holds, by partition."""
    return [
        [msgspec.msgpack.decode(entry.payload, type=PolicyBatch) for entry in world.log.read("policies", part, 0)]
        for part in range(PARTITIONS)
    ]


def test_every_home_has_a_policy_in_the_log_for_whoever_connects_later() -> None:
    world, runner = started(7)
    for part, kept in enumerate(policies(world)):
        assert len(kept) == 1, "the newest is enough"
        assert kept[0].epoch == 1
        assert kept[0].rows == list(range(len(runner.ring.registry.specs(part))))
        assert all(Policy.from_bytes(payload).horizon_us == kept[0].until_us for payload in kept[0].payloads)


def test_policies_that_a_log_could_not_take_are_written_at_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    runner = world.runner()
    runner.enrol(homes(6))

    def full(*_: object) -> list[int]:
        msg = "the disk is full"
        raise LogError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(world.log, "transact", full)
        with pytest.raises(LogError, match="full"):
            runner.tick(world.now_us)
    assert policies(world) == [[], []]
    runner.tick(world.now_us + TICK_US)
    assert [len(kept) for kept in policies(world)] == [1, 1]


@pytest.mark.parametrize(
    ("followers", "committed", "first"),
    [
        (Followers(), 0, 16),
        (Followers(("history",), 100), 3, 3),
        (Followers(("history",), 100), 19, 16),
        (Followers(("history", "dead"), 8), 19, 13),
    ],
)
def test_readings_wait_for_those_who_follow_but_not_for_ever(followers: Followers, committed: int, first: int) -> None:
    """At minute 20, with 21 entries applied, the runner itself needs none before the 16 of minute 15."""
    world = World()
    runner = Runner(
        world.log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), world.kept, followers=followers
    )
    runner.enrol(homes(6))
    world.live(runner, 20)
    world.log.transact([], [("history", "telemetry", 0, committed)])
    world.live(runner, 1)
    assert world.log.read("telemetry", 0, 0, 1)[0].offset == first
