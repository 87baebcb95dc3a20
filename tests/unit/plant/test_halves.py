"""The ring's two halves by themselves: partitions that know nothing of each other, and a coordinator without sites."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.plant.coordinator import Coordinator, Decision
from powerflock.plant.member import Member
from powerflock.plant.messages import Report, decode_order, decode_report, encode
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.planner import PlanNow
from tests.unit.plant.small import SETTINGS, START_US, TICK_US, Meters, homes, venue

PARTITIONS = 2
SPECS = homes(8)
PRICES = np.where(np.arange(576) % 4 < 2, 40.0, 320.0)


class Plant:
    """Two partitions and a coordinator that hear of each other by bytes alone; an order is followed one tick later."""

    def __init__(self) -> None:
        self.meters = [Meters(SPECS, part, PARTITIONS) for part in range(PARTITIONS)]
        self.members = []
        for part, own in enumerate(self.meters):
            registry = Registry.empty(PARTITIONS)
            registry.enrol(part, own.specs)
            member = Member(part, registry, SETTINGS, BaselineOutlook(PARTITIONS), PlanNow(), epoch=part + 1)
            member.enrolled(0)
            member.regroup()
            self.members.append(member)
        self.coordinator = Coordinator(SETTINGS, BaselineOutlook(PARTITIONS), venue(PRICES))
        self.order: bytes | None = None
        self.reports: dict[int, Report] = {}
        self.dead: set[int] = set()

    def tick(self, now_us: int) -> Decision:
        for part, (member, meters) in enumerate(zip(self.members, self.meters, strict=True)):
            if part in self.dead or self.order is None:
                continue
            order = decode_order(self.order)
            member.ingest(meters.read(now_us), now_us)
            report, _ = member.look(order, now_us)
            self.reports[part] = decode_report(encode(report))
            commands = member.follow(order, now_us)
            member.told(commands)
            meters.obey(commands)
        order, _ = self.coordinator.open(now_us)
        decided = self.coordinator.decide(order, list(self.reports.values()), now_us)
        self.order = encode(decided.order)
        for meters in self.meters:
            meters.run(TICK_US)
        return decided

    def run(self, first: int, minutes: int) -> list[Decision]:
        return [self.tick(START_US + minute * TICK_US) for minute in range(first, first + minutes)]


@pytest.fixture(scope="module")
def an_hour() -> list[Decision]:
    return Plant().run(0, 60)


def test_awards_are_delivered_though_orders_come_a_tick_late(an_hour: list[Decision]) -> None:
    """A tick is a fifth of the interval: so long homes still do what the one before asked, at times the opposite."""
    settled = [item for decided in an_hour for item in decided.settled]
    assert [item.interval_us for item in settled] == [START_US + 300_000_000 * number for number in range(11)]
    awarded = [item for item in settled if item.award_mw is not None]
    assert len(awarded) >= 9
    missed = sum(abs(item.delivered_mwh - item.awarded_mwh) for item in awarded)
    assert missed <= 0.2 * sum(abs(item.awarded_mwh) for item in awarded)


def test_the_fleet_moves_with_the_price(an_hour: list[Decision]) -> None:
    settled = [item for decided in an_hour for item in decided.settled][2:]
    dear = [item.delivered_mwh for item in settled if item.spot_per_mwh > 100]
    cheap = [item.delivered_mwh for item in settled if item.spot_per_mwh < 100]
    assert min(dear) > max(cheap)


def test_groups_are_those_of_all_partitions(an_hour: list[Decision]) -> None:
    groups = an_hour[-1].groups
    assert groups.sites[PORTFOLIO] == groups.fresh[PORTFOLIO] == len(SPECS)
    assert groups.sites.tolist() == [8.0, 8.0, 4.0, 4.0], "the portfolio, its region and two feeders, each once"
    np.testing.assert_allclose(groups.power_kw[2:].sum(), groups.power_kw[PORTFOLIO])


def test_a_partition_that_falls_silent_stays_in_the_totals_out_of_reach() -> None:
    plant = Plant()
    plant.coordinator.settings = replace(SETTINGS, report_life_us=2 * TICK_US)
    before = plant.run(0, 20)[-1]
    plant.dead = {1}
    after = plant.run(20, 4)[-1]
    gone = len(plant.meters[1].specs)
    assert after.groups.sites[PORTFOLIO] == after.groups.known[PORTFOLIO] == len(SPECS), "the truth does not drop"
    assert after.groups.fresh[PORTFOLIO] == len(SPECS) - gone, "the coverage does"
    assert after.groups.unreachable[PORTFOLIO] == after.groups.silent[PORTFOLIO] == gone
    alive = plant.reports[0].groups
    assert after.groups.up_kw[PORTFOLIO] == alive.up_kw[PORTFOLIO], "nothing is expected of what cannot be reached"
    assert after.groups.down_kw[PORTFOLIO] == alive.down_kw[PORTFOLIO]
    assert after.bid is not None
    assert before.bid is not None
    assert sum(after.bid.quantity_mw) < sum(before.bid.quantity_mw)
    plant.dead = set()
    back = plant.run(24, 8)[-1]
    assert back.groups.fresh[PORTFOLIO] == len(SPECS)


def test_an_interval_is_settled_without_a_partition_that_never_came_back() -> None:
    plant = Plant()
    plant.run(0, 12)
    plant.dead = {1}
    settled = [item for decided in plant.run(12, 15) for item in decided.settled]
    assert [item.interval_us for item in settled] == [START_US + 300_000_000 * number for number in (2, 3)]


def test_commands_carry_the_epoch_of_their_partitions_owner() -> None:
    plant = Plant()
    plant.run(0, 8)
    order = decode_order(plant.order or b"")
    for part, member in enumerate(plant.members):
        now_us = START_US + 8 * TICK_US + 400_000_000
        member.ingest(plant.meters[part].read(now_us), now_us)
        member.look(order, now_us)
        commands = member.follow(order, now_us)
        assert commands.size
        assert set(commands["epoch"].tolist()) == {part + 1}


def test_a_partition_whose_clock_is_ahead_is_bid_for_too() -> None:
    """Just before an interval ends it may have begun there: what it offers now is what was next."""
    plant = Plant()
    plant.run(0, 15)
    bid = plant.coordinator.bid
    assert bid is not None
    order = decode_order(plant.order or b"")
    end_us = START_US + 15 * TICK_US
    for part, member in enumerate(plant.members):
        member.ingest(plant.meters[part].read(end_us), end_us)
        plant.reports[part] = member.look(order, end_us)[0]
    opened, begins = plant.coordinator.open(end_us - 1)
    ahead = plant.coordinator.decide(opened, list(plant.reports.values()), end_us - 1).bid
    assert not begins
    assert ahead is not None
    assert ahead.interval_us == bid.interval_us == end_us
    assert sum(ahead.quantity_mw) == pytest.approx(sum(bid.quantity_mw), rel=0.2)


def test_bytes_that_are_no_message_are_refused() -> None:
    plant = Plant()
    plant.run(0, 3)
    payload = encode(plant.reports[0])
    with pytest.raises(InvalidInput, match=r"report is .*; must be one of this version"):
        decode_report(payload[:-4])
    with pytest.raises(InvalidInput, match=r"order is .*; must be one of this version"):
        decode_order(msgspec.msgpack.encode({"now_us": 1}))
