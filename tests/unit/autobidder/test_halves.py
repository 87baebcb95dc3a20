"""Partitions and the portfolio as owners on one log: either may be replaced at any moment and nothing is lost."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from powerflock.autobidder.enrolment import LogRegistrar
from powerflock.autobidder.partition import PartitionRunner
from powerflock.autobidder.portfolio import PortfolioRunner
from powerflock.autobidder.records import IntervalBegan
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import COMMAND
from powerflock.domain.errors import LogError
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Fenced
from powerflock.plant.coordinator import Coordinator, Decision
from powerflock.plant.member import Member
from powerflock.plant.messages import decode_order
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.planner import PlanNow
from powerflock.twins.snapshot import Mark, dump, state_hash
from tests.unit.autobidder.test_runner import Kept
from tests.unit.plant.small import SETTINGS, START_US, TICK_US, Meters, homes, venue

PARTITIONS, SPECS = 2, homes(8)
PRICES = np.where(np.arange(576) % 4 < 2, 40.0, 320.0)


class Cluster:
    """A log, homes that report to it and obey what is in it, and whoever owns the partitions and the portfolio now."""

    def __init__(self) -> None:
        self.log, self.now_us, self.kept = MemoryLog(), START_US, [Kept() for _ in range(PARTITIONS)]
        registry = Registry.empty(PARTITIONS)
        LogRegistrar(self.log, registry).enrol(SPECS, self.log.claim("enrolment", "test"))
        self.meters = [Meters(SPECS, part, PARTITIONS) for part in range(PARTITIONS)]
        self.heard = [0] * PARTITIONS
        self.twins: list[PartitionRunner | None] = [self.take_over(part, "first") for part in range(PARTITIONS)]
        self.portfolio: PortfolioRunner | None = self.take_portfolio("first")
        self.decided: list[Decision] = []

    def take_over(self, partition: int, name: str) -> PartitionRunner:
        def member(epoch: int) -> Member:
            registry = Registry.empty(PARTITIONS)
            return Member(partition, registry, SETTINGS, BaselineOutlook(PARTITIONS), PlanNow(), epoch)

        runner = PartitionRunner(self.log, partition, name, member, self.kept[partition])
        runner.recover()
        return runner

    def take_portfolio(self, name: str) -> PortfolioRunner:
        coordinator = Coordinator(SETTINGS, BaselineOutlook(PARTITIONS), venue(PRICES))
        runner = PortfolioRunner(self.log, name, coordinator, PARTITIONS)
        runner.recover()
        return runner

    def tick(self) -> None:
        for part, meters in enumerate(self.meters):
            self.log.append("telemetry", part, encode(meters.read(self.now_us)))
        orders = self.log.newest("orders", 0)
        for runner in self.twins:
            if runner is not None and orders:
                runner.tick(decode_order(orders[0].payload), self.now_us, runner.end())
        if self.portfolio is not None:
            self.decided.append(self.portfolio.tick(self.now_us))
        for part, meters in enumerate(self.meters):
            for entry in self.log.read("commands", part, self.heard[part]):
                meters.obey(decode(entry.payload, COMMAND))
                self.heard[part] = entry.offset + 1
            meters.run(TICK_US)
        self.now_us += TICK_US

    def run(self, minutes: int) -> None:
        for _ in range(minutes):
            self.tick()

    def settled(self) -> list[tuple[int, float | None, float]]:
        """Interval, award and delivery of everything in the market's log."""
        events = [msgspec.msgpack.decode(entry.payload, type=IntervalBegan) for entry in self.log.read("market", 0, 0)]
        return [(item.interval_us, item.award_mw, item.delivered_mwh) for event in events for item in event.settled]


def missed_ratio(rows: list[tuple[int, float | None, float]]) -> float:
    awarded = [(award / 12.0, delivered) for _, award, delivered in rows if award is not None]
    assert len(awarded) >= 5
    return sum(abs(done - award) for award, done in awarded) / sum(abs(award) for award, _ in awarded)


def test_two_partitions_and_a_portfolio_deliver_what_was_awarded() -> None:
    cluster = Cluster()
    cluster.run(45)
    rows = cluster.settled()
    assert [start for start, *_ in rows] == [START_US + 300_000_000 * number for number in range(8)]
    assert missed_ratio(rows) <= 0.2, "what homes still do of the interval before, a tick that is a fifth of it"
    assert cluster.decided[-1].groups.fresh[PORTFOLIO] == len(SPECS)


def test_a_partitions_new_owner_has_the_same_state_and_fences_the_old_one() -> None:
    cluster = Cluster()
    cluster.run(23)
    old = cluster.twins[0]
    assert old is not None
    new = cluster.take_over(0, "second")
    new.ingest(cluster.now_us, new.end())
    assert state_hash(new.member.shard.twins) == state_hash(old.member.shard.twins)
    assert new.member.interval == old.member.interval
    assert new.member.epoch > old.member.epoch
    with pytest.raises(Fenced):
        cluster.tick()
    assert cluster.log.end("reports", 0) > 0
    cluster.twins[0] = new
    cluster.run(20)
    assert missed_ratio(cluster.settled()) <= 0.2
    epochs = [int(decode(entry.payload, COMMAND)["epoch"].max()) for entry in cluster.log.read("commands", 0, 0)]
    assert epochs == sorted(epochs)
    assert epochs[-1] == new.member.epoch


def test_a_partition_that_comes_back_to_its_owner_has_its_sites_again() -> None:
    """The process knows the registry already: nothing in it is new, and yet the partition is."""
    cluster = Cluster()
    cluster.run(12)
    old = cluster.twins[0]
    assert old is not None

    def member(epoch: int) -> Member:
        return Member(0, old.member.registry, SETTINGS, BaselineOutlook(PARTITIONS), PlanNow(), epoch)

    new = PartitionRunner(cluster.log, 0, "first", member, cluster.kept[0])
    new.recover()
    new.ingest(cluster.now_us, new.end())
    assert new.member.shard.sites > 0
    assert state_hash(new.member.shard.twins) == state_hash(old.member.shard.twins)


def test_a_snapshot_from_after_the_books_were_opened_gives_way_to_the_one_before() -> None:
    """The books begin at an offset; the log reaches back only as far as the older snapshot."""
    cluster = Cluster()
    cluster.run(33)
    old = cluster.twins[0]
    assert old is not None
    shard = old.member.shard.twins
    cluster.kept[0].save(Mark(0, old.end(), old.member.epoch), dump(shard, Mark(0, old.end(), old.member.epoch)))
    new = cluster.take_over(0, "second")
    new.ingest(cluster.now_us, new.end())
    assert new.counts.applied > 0, "the readings since the books were opened are applied once more"
    assert state_hash(new.member.shard.twins) == state_hash(shard)


def test_a_new_owner_counts_what_passed_at_its_price_before_it_turns_once() -> None:
    """So that it can take in the readings of an interval beside other partitions' turns, not in one of them."""
    cluster = Cluster()
    cluster.run(8)
    cluster.twins[0] = None
    cluster.run(5)
    order = decode_order(cluster.log.newest("orders", 0)[0].payload)
    new = cluster.take_over(0, "second")
    was = new.member.interval
    new.ingest(cluster.now_us, new.end(), order)
    assert new.member.interval == order.interval == was + 1
    assert new.member.spot_per_mwh == order.spot_per_mwh
    assert new.member.closed is not None
    assert (new.member.closed.first, new.member.closed.until) == (was, order.interval)


def test_owners_are_paid_the_same_though_their_partition_changed_hands() -> None:
    def paid(*, changes: bool) -> float:
        cluster = Cluster()
        cluster.run(4)
        for _ in range(9):
            cluster.run(5)
            if changes:
                cluster.twins = [cluster.take_over(part, "next") for part in range(PARTITIONS)]
        return sum(float(own.member.shard.accounts["paid"].sum()) for own in cluster.twins if own is not None)

    assert paid(changes=True) == pytest.approx(paid(changes=False), rel=0.1)


def test_the_portfolios_new_owner_goes_on_with_its_account_and_the_open_interval() -> None:
    cluster = Cluster()
    cluster.run(22)
    old = cluster.portfolio
    assert old is not None
    cluster.portfolio = cluster.take_portfolio("second")
    assert cluster.portfolio.coordinator.account == old.coordinator.account
    assert cluster.portfolio.coordinator.award == old.coordinator.award
    cluster.run(20)
    rows = cluster.settled()
    assert [start for start, *_ in rows] == [START_US + 300_000_000 * number for number in range(8)]
    with pytest.raises(Fenced):
        old.tick(cluster.now_us)


def test_an_interval_that_ended_while_the_portfolio_changed_hands_is_settled_once() -> None:
    cluster = Cluster()
    cluster.run(18)
    cluster.portfolio = None
    cluster.run(4)
    cluster.portfolio = cluster.take_portfolio("second")
    cluster.run(9)
    starts = [start for start, *_ in cluster.settled()]
    assert starts == [START_US + 300_000_000 * number for number in range(6)]


def test_without_a_portfolio_old_prices_are_not_followed_for_ever() -> None:
    cluster = Cluster()
    cluster.run(20)
    cluster.portfolio = None
    cluster.run(4)
    told = cluster.log.end("commands", 0)
    cluster.run(20)
    late = [decode(entry.payload, COMMAND) for entry in cluster.log.read("commands", 0, told)]
    latest = max((int(rows["not_before_us"].max()) for rows in late), default=0)
    assert latest <= START_US + 20 * TICK_US + SETTINGS.command_life_us // 2


def test_a_report_of_a_later_version_is_counted_and_the_portfolio_goes_on() -> None:
    """Partitions are renewed before or after the portfolio: what it cannot read is as if that one were silent."""
    cluster = Cluster()
    cluster.run(12)
    portfolio = cluster.portfolio
    assert portfolio is not None
    known = portfolio.reports[0]
    cluster.log.append("reports", 0, msgspec.msgpack.encode({"partition": 0, "epoch": 9, "curves_by_cohort": {}}))
    decided = portfolio.tick(cluster.now_us)
    assert portfolio.refused == 1
    assert portfolio.reports[0] is known
    assert decided.groups.sites[PORTFOLIO] == len(SPECS)


def test_a_portfolio_of_an_earlier_version_does_not_take_up_an_account_that_it_cannot_read() -> None:
    cluster = Cluster()
    cluster.run(6)
    cluster.log.append("market", 0, msgspec.msgpack.encode({"interval": 1, "reserve_awards": []}))
    with pytest.raises(LogError, match=r"no IntervalBegan of this version.*Run here the version that wrote it"):
        cluster.take_portfolio("of an earlier version")
