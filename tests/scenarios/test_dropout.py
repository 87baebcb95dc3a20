"""A third of a region loses its link: the plant knows at its next turn, says so once, and offers only what it has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from powerflock.alarms import Alarm
from powerflock.compose.virtual import _virtual_plant
from powerflock.domain.arrays import Bools
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.plant.model import Turn
from powerflock.settings import Settings
from powerflock.sim import homes, prices
from tests.unit.sim.simulated import START_US

HOMES, SEED, MINUTE_US = 200, 4, 60_000_000
REGION = "dropout:region:west"
LOST_US, BACK_US = START_US + 2 * MICROS_PER_HOUR, START_US + 3 * MICROS_PER_HOUR


def test_when_a_third_of_a_region_drops_out_coverage_capacity_and_bids_shrink_at_once_and_come_back() -> None:
    fleet = homes.generate(HOMES, SEED, 9, START_US - 7 * MICROS_PER_DAY)
    series = prices.generated(SEED, START_US - 7 * MICROS_PER_DAY, 10)
    west = np.flatnonzero([spec.region == "west" for spec in fleet.specs])
    lost: Bools = np.zeros(HOMES, np.bool_)
    lost[west[: round(0.3 * west.size)]] = True
    turns: dict[int, Turn] = {}
    told: dict[int, list[Alarm]] = {}
    with ThreadPoolExecutor(2) as pool:
        simulation, runner = _virtual_plant(Settings(), fleet, series, SEED, START_US, None, pool)
        simulation.link_lost = lambda now_us: lost if LOST_US <= now_us < BACK_US else np.zeros_like(lost)
        tick = runner.tick

        def kept(now_us: int) -> Turn:
            turns[now_us] = tick(now_us)
            told[now_us] = runner.alarms.book.in_order()
            return turns[now_us]

        runner.tick = kept  # type: ignore[method-assign]
        end_us = BACK_US + 10 * MINUTE_US
        simulation.run(START_US, end_us, end_us, 10 * MICROS_PER_HOUR, lambda _: None)
    check_alarms(told, gone=int(lost.sum()))
    before, after, back = turns[LOST_US - MINUTE_US], turns[LOST_US], turns[end_us]
    region = runner.ring.hierarchy.id_of["west"]
    gone = int(lost.sum())
    assert before.groups.fresh[PORTFOLIO] == back.groups.fresh[PORTFOLIO] == HOMES
    assert after.groups.fresh[PORTFOLIO] == HOMES - gone
    assert after.groups.unreachable[region] == gone
    assert after.firm.up_kw[PORTFOLIO] < 0.99 * before.firm.up_kw[PORTFOLIO]
    share = 1.0 - after.groups.up_kw[region] / before.groups.up_kw[region]
    assert 0.15 < share < 0.45, "what can be asked of the region fell by about what was lost"
    assert after.groups.known[PORTFOLIO] == HOMES, "what flows there stays in the totals"
    assert before.bid is not None
    assert after.bid is not None
    assert sum(after.bid.quantity_mw) < 0.99 * sum(before.bid.quantity_mw)


def check_alarms(told: dict[int, list[Alarm]], gone: int) -> None:
    """One alarm, that of the region, from the turn at which the link was lost until a minute after it was back."""
    for now_us, alarms in told.items():
        active = [alarm for alarm in alarms if alarm.state == "active"]
        assert [alarm.id for alarm in active] == [REGION] * (LOST_US <= now_us < BACK_US), now_us
    (alarm,) = told[LOST_US]
    assert (alarm.since_us, alarm.sites, alarm.severity) == (LOST_US, gone, "critical")
    assert "of region west" in alarm.sentence
    (over,) = told[max(told)]
    assert (over.state, over.id, over.acknowledged_us) == ("cleared", REGION, None)
