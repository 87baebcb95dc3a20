"""The ring closes: readings in, plan, bid, award, commands out, and what was delivered is settled."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.arrays import F64
from powerflock.plant.model import Turn
from powerflock.plant.ring import Ring
from tests.unit.plant.small import BATTERY, LENGTH_US, START_US, TICK_US, Meters, enrolled, homes

NO_BATTERY = homes(2, battery=None)


def turns(ring: Ring, meters: Meters, minutes: int) -> list[Turn]:
    """Read, turn, obey and let a minute pass."""
    out = []
    for minute in range(minutes + 1):
        now = START_US + minute * TICK_US
        ring.ingest(0, meters.read(now), now)
        out.append(ring.turn(now))
        meters.obey(out[-1].commands[0])
        meters.run(TICK_US)
    return out


@pytest.fixture(scope="module")
def half_an_hour() -> list[Turn]:
    ring = enrolled(homes(6), np.where(np.arange(576) % 4 < 2, 40.0, 320.0))
    return turns(ring, Meters(homes(6)), 30)


def test_every_interval_is_settled_once(half_an_hour: list[Turn]) -> None:
    settled = [item.interval_us for turn in half_an_hour for item in turn.settled]
    assert settled == [START_US + number * LENGTH_US for number in range(6)]


def test_from_the_second_interval_on_there_is_an_award_and_it_is_delivered(half_an_hour: list[Turn]) -> None:
    settled = [item for turn in half_an_hour for item in turn.settled]
    assert settled[0].award_mw is None
    for item in settled[1:]:
        assert item.award_mw is not None
        assert item.delivered_mwh == pytest.approx(item.awarded_mwh, rel=0.05, abs=1e-5)


def test_the_fleet_moves_with_the_price(half_an_hour: list[Turn]) -> None:
    """Scarcity and plenty take turns; the homes give in the one and take in the other."""
    settled = [item for turn in half_an_hour for item in turn.settled][1:]
    dear = [item.delivered_mwh for item in settled if item.spot_per_mwh > 100]
    cheap = [item.delivered_mwh for item in settled if item.spot_per_mwh < 100]
    assert min(dear) > max(cheap)


def test_owners_payments_never_fall_short_and_come_out_of_what_is_earned(half_an_hour: list[Turn]) -> None:
    assert all(item.owner_payments >= 0.0 for turn in half_an_hour for item in turn.settled)
    assert sum(item.owner_payments for turn in half_an_hour for item in turn.settled) > 0.0


def test_commands_end_by_themselves_and_are_numbered(half_an_hour: list[Turn]) -> None:
    last = np.zeros(6)
    for turn in half_an_hour:
        commands = turn.commands[0]
        assert (commands["expires_us"] > commands["not_before_us"]).all()
        assert (commands["seq"] > last[commands["site"]]).all()
        last[commands["site"]] = commands["seq"]
    assert (last > 0).all()


def test_the_same_inputs_turn_the_same_way() -> None:
    def commands() -> list[bytes]:
        return [turn.commands[0].tobytes() for turn in turns(enrolled(homes(3)), Meters(homes(3)), 12)]

    assert commands() == commands()


def test_homes_without_battery_are_counted_and_never_commanded() -> None:
    seen = turns(enrolled(NO_BATTERY), Meters(NO_BATTERY), 11)
    assert all(turn.commands[0].size == 0 for turn in seen)
    assert seen[-1].settled or any(turn.settled for turn in seen)
    delivered = [item for turn in seen for item in turn.settled]
    assert delivered[-1].delivered_mwh == pytest.approx(-2 * 0.8 / 12 / 1000)


def test_a_ring_without_homes_turns_and_bids_nothing() -> None:
    ring = enrolled([])
    for minute in range(7):
        turn = ring.turn(START_US + minute * TICK_US)
    assert turn.bid is None
    assert ring.account.intervals == 1


def test_silent_homes_keep_the_ring_turning_with_less_coverage() -> None:
    specs = homes(4)
    ring, meters = enrolled(specs), Meters(specs)
    seen = turns(ring, meters, 10)
    now = START_US + 11 * TICK_US
    for minute in range(11, 26):
        now = START_US + minute * TICK_US
        seen.append(ring.turn(now))
    assert [item.coverage_ratio for turn in seen for item in turn.settled][-1] == 0.0
    told = [turn.commands[0].size for turn in seen]
    assert sum(told[:10]) > 0
    assert sum(told[17:]) == 0, "a home that says nothing is told nothing, and serves its owner"
    assert np.isfinite(seen[-1].groups.power_kw[0])


def test_a_plant_that_slept_through_intervals_settles_them_all() -> None:
    specs = homes(2)
    ring, meters = enrolled(specs), Meters(specs)
    turns(ring, meters, 7)
    meters.obey(np.zeros(0, [("site", "u4"), ("setpoint_kw", "f4")]))
    late = START_US + 32 * TICK_US
    meters.run(24 * TICK_US)
    ring.ingest(0, meters.read(late), late)
    settled = ring.turn(late).settled
    assert [item.interval_us for item in settled] == [START_US + number * LENGTH_US for number in range(1, 6)]
    assert [item.award_mw is None for item in settled] == [False, True, True, True, True]


def powers(turn: Turn) -> F64:
    return np.asarray(turn.groups.power_kw)


def test_groups_add_up_from_feeders_to_the_portfolio(half_an_hour: list[Turn]) -> None:
    power = powers(half_an_hour[-1])
    assert power[0] == pytest.approx(power[1]) == pytest.approx(power[2:].sum())


def test_the_reserve_is_the_owners() -> None:
    specs = homes(2)
    ring, meters = enrolled(specs, 15_000.0), Meters(specs)
    turns(ring, meters, 120)
    reserve_kwh = BATTERY.capacity_kwh * BATTERY.reserve_ratio
    assert (meters.stored_kwh >= reserve_kwh - 1e-6).all()
    assert meters.stored_kwh.min() < 2.0, "at such a price everything else is sold"
