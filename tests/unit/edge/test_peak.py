"""Peak shaving at the edge: what is held is worked out from the past alone, and never costs more than it must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peak_sites import Case, Course, follow, perfect, shaved
from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput
from powerflock.edge.limits import Limits
from powerflock.edge.peak import PeakShaver

DAY = 48
EVENING = np.r_[np.zeros(28, np.bool_), np.ones(12, np.bool_), np.zeros(8, np.bool_)]


def one_battery(power_kw: float = 5.0, energy_kwh: float = 10.0, reserve_kwh: float = 0.0) -> Limits:
    values = (energy_kwh, reserve_kwh, power_kw, power_kw, 1.0, 1.0, 100.0, 100.0)
    return Limits(*(np.array([value]) for value in values))


def learn(shaver: PeakShaver, day: list[float], days: int = 1) -> None:
    """Past days of 48 half hours, none billed, each of kind 1."""
    for net_kw in day * days:
        shaver.close(1, net_kw, np.nan, counts=False)


def made_case(net_load_kw: F64, power_kw: float = 5.0, energy_kwh: float = 10.0, warm_days: int = 3) -> Case:
    """Sites on days of one kind, evenings counted, of which the first `warm_days` are history only."""
    homes, intervals = net_load_kw.shape
    days = intervals // DAY
    return Case(
        net_load_kw, np.tile(EVENING, days), np.where(np.arange(intervals) < warm_days * DAY, -1, 0),
        np.ones(intervals, np.int64), np.full(intervals, 0.2), np.array([12.0]),
        np.full(homes, power_kw), np.full(homes, energy_kwh),
    )  # fmt: skip


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    load = rng.gamma(0.7, 3.0, (2, 8 * DAY)) + 4.0 * np.tile(EVENING, 8) - 3.0 * (rng.random((2, 8 * DAY)) < 0.3)
    return made_case(load, float(rng.choice([2.0, 5.0])), float(rng.choice([4.0, 10.0])))


def test_where_every_day_is_the_same_foresight_could_do_no_better() -> None:
    day = np.r_[np.full(28, 1.0), [3.0, 8.0, 9.0, 9.0, 7.0, 6.0, 8.0, 3.0, 3.0, 2.0, 2.0, 2.0], np.full(8, 1.0)]
    sites = made_case(np.tile(day, (1, 6)))
    np.testing.assert_allclose(sites.bill(shaved(sites).import_kw), perfect(sites), rtol=1e-6)


def test_the_level_is_the_lowest_that_lasts_through_what_the_last_days_saw() -> None:
    """10 kWh against 9 kW for four half hours, then 3 kW: 4 kW can be held."""
    shaver = PeakShaver(one_battery())
    learn(shaver, [9.0] * 4 + [3.0] * 44, 3)
    assert shaver.hold(np.ones(24, np.bool_), 1, 9.0, 10.0).most_kw == pytest.approx(4.0)
    assert shaver.hold(np.ones(24, np.bool_), 1, 9.0, 4.0).most_kw > 6.0, "half the energy holds less"


def test_without_a_day_alike_the_present_load_is_expected_to_last() -> None:
    """10 kWh over the two hours that count give 5 kW."""
    shaver = PeakShaver(one_battery())
    learn(shaver, [1.0] * DAY)
    counts = np.arange(24) < 4
    assert shaver.hold(counts, 0, 9.0, 10.0).most_kw == pytest.approx(4.0)


def test_what_is_billed_already_is_not_shaved_below_until_the_next_period() -> None:
    shaver = PeakShaver(one_battery())
    learn(shaver, [9.0] * 4 + [3.0] * 44, 3)
    shaver.close(1, 7.5, 7.5, counts=True)
    learn(shaver, [3.0] * 47)
    assert shaver.hold(np.ones(24, np.bool_), 1, 9.0, 10.0) == (7.5, 7.5)
    shaver.new_period()
    assert shaver.hold(np.ones(24, np.bool_), 1, 9.0, 10.0).most_kw < 5.0


def test_where_import_does_not_count_the_battery_fills() -> None:
    shaver = PeakShaver(one_battery())
    assert shaver.hold(np.zeros(24, np.bool_), 1, 2.0, 5.0).most_kw == np.inf


def test_the_battery_fills_no_higher_than_is_needed_after_any_day_seen() -> None:
    """Heavy and light days are known: it could be a light one, so filling need not raise the import as far as held."""
    shaver = PeakShaver(one_battery())
    for peak_kw in (9.0, 7.0, 9.0, 9.0):
        learn(shaver, [2.0] * 4 + [peak_kw] * 4 + [2.0] * 40)
    hold = shaver.hold(np.ones(24, np.bool_), 1, 2.0, 10.0)
    assert hold.fill_kw == pytest.approx(2.0)
    assert hold.most_kw == pytest.approx(4.0)
    assert [hold.setpoint_kw(net) for net in (1.0, 3.0, 9.0, np.nan)] == [hold.fill_kw, 3.0, hold.most_kw, hold.most_kw]


def test_a_silent_meter_costs_that_days_evidence_and_never_a_wrong_command() -> None:
    shaver = PeakShaver(one_battery())
    learn(shaver, [9.0] * 4 + [3.0] * 44, 2)
    learn(shaver, [np.nan] * DAY)
    counts = np.ones(24, np.bool_)
    assert shaver.hold(counts, 1, 9.0, 10.0).most_kw == pytest.approx(4.0), "the two days before are left"
    assert shaver.hold(counts, 1, np.nan, 10.0).most_kw == pytest.approx(4.0)
    shaver.close(1, 6.0, 6.0, counts=True)
    shaver.close(1, np.nan, np.nan, counts=True)
    assert shaver.hold(counts, 1, 9.0, np.nan).most_kw == 6.0, "the battery is unknown: what is billed already"
    assert PeakShaver(one_battery()).hold(counts, 1, np.nan, 10.0).most_kw == 0.0, "nothing at all is known"


def keeps_the_rules(sites: Case, course: Course) -> None:
    net, power = sites.net_load_kw, course.import_kw - sites.net_load_kw
    limit, energy = sites.power_kw[:, None], sites.energy_kwh[:, None]
    before = np.concatenate([energy, course.stored_kwh[:, :-1]], axis=1)
    held = np.isfinite(course.level_kw)
    assert (np.abs(power) <= limit + 1e-9).all()
    assert ((course.stored_kwh >= -1e-9) & (course.stored_kwh <= energy + 1e-9)).all()
    able = np.minimum(limit, before * 0.95 * 2.0)
    over = held & (course.import_kw > course.level_kw + 1e-9)
    np.testing.assert_allclose(-power[over], able[over], atol=1e-9, err_msg="over the level only with all it can give")
    assert (power[held & (net < course.level_kw)] >= 0).all(), "nothing is discharged below the level"


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_import_stays_at_the_level_while_energy_lasts_and_the_battery_within_its_limits(seed: int) -> None:
    sites = random_case(seed)
    course = shaved(sites)
    keeps_the_rules(sites, course)
    counted = sites.counts & (sites.period >= 0)
    billed = np.maximum.accumulate(np.where(counted, course.import_kw, 0.0), axis=1)
    assert (course.level_kw[:, 1:][:, counted[1:]] >= billed[:, :-1][:, counted[1:]] - 1e-9).all(), "the ratchet"


@given(st.integers(0, 10_000), st.integers(3 * DAY, 8 * DAY - 1))
@settings(max_examples=6, deadline=None)
def test_what_is_held_now_knows_nothing_of_what_comes(seed: int, now: int) -> None:
    sites, other = random_case(seed), random_case(seed)
    other.net_load_kw[:, now + 1 :] = 20.0
    np.testing.assert_array_equal(shaved(sites).level_kw[:, : now + 1], shaved(other).level_kw[:, : now + 1])


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_loads_that_come_and_go_unmetered_leave_the_battery_within_its_limits(seed: int) -> None:
    sites = random_case(seed)
    sites.net_load_kw[np.random.default_rng(seed).random(sites.net_load_kw.shape) < 0.1] = np.nan
    course = shaved(sites)
    assert not np.isnan(course.level_kw).any()
    assert ((course.stored_kwh >= 0) & (course.stored_kwh <= sites.energy_kwh[:, None] + 1e-9)).all()


def test_the_level_is_the_same_each_time() -> None:
    sites = random_case(1)
    np.testing.assert_array_equal(shaved(sites).import_kw, shaved(sites).import_kw)


def test_the_reserve_is_the_owners() -> None:
    """Of 10 kWh, 6 are the owner's: 4 kWh hold what 10 could not."""
    day = [9.0] * 4 + [3.0] * 44
    all_of_it, part = PeakShaver(one_battery()), PeakShaver(one_battery(reserve_kwh=6.0))
    for shaver in (all_of_it, part):
        learn(shaver, day, 3)
    counts = np.arange(24) < 4
    assert all_of_it.hold(counts, 1, 9.0, 10.0).most_kw == pytest.approx(4.0)
    assert part.hold(counts, 1, 9.0, 10.0).most_kw == pytest.approx(7.0)
    assert part.hold(counts, 1, 9.0, 5.0).most_kw == pytest.approx(9.0), "below the reserve nothing can be held"


def test_a_level_of_nought_asks_no_export() -> None:
    sites = made_case(np.full((1, 4 * DAY), -2.0))
    course = follow(sites, lambda _t, _net, _stored: (np.zeros(1), np.zeros(1)), lambda _t, _import: None)
    assert (course.import_kw <= 0).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: PeakShaver(one_battery()).hold(np.ones(3, np.bool_), 1, 1.0, 1.0), "shape of counts"),
        (lambda: PeakShaver(one_battery(), hours=0.7), "hours"),
        (lambda: PeakShaver(Limits(*(np.ones(2) for _ in range(8)))), "homes in limits"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(wrong: object, named: str) -> None:
    assert callable(wrong)
    with pytest.raises(InvalidInput, match=named):
        wrong()
