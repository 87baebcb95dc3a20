"""A fleet on a target, within feeders' limits and with a reserve costs what one central programme finds, proven."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.central_reference import build, optimal_cost
from benchmarks.highs_reference import random_problems
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise.asks import Groups, Reserve
from powerflock.optimise.check import Schedule, check_plan, schedule_cost
from powerflock.optimise.fleet import Coordination, coordinate
from powerflock.optimise.problem import SiteProblems, VaryingLimits
from powerflock.optimise.site import solve
from tests.unit.optimise.several import several_storages

PENALTY = 1.0


def flock(seed: int, homes: int, intervals: int, *, devices: bool) -> tuple[SiteProblems, Groups, np.ndarray]:
    """Homes on three feeders under two regions under a root, limits a tenth below what the homes would do alone.

    Wear is high enough that no price here makes a relaxation burn energy: there the gap would not be small.
    """
    problems = several_storages(seed, homes, intervals) if devices else random_problems(seed, homes, intervals)
    worn = dataclasses.replace(problems.batteries, wear_per_kwh=np.maximum(problems.batteries.wear_per_kwh, 0.06))
    problems = dataclasses.replace(problems, batteries=worn, coordination_per_kwh=np.zeros(intervals))
    alone = solve(dataclasses.replace(problems, devices=None, curtailable_kw=None))
    parent = np.array([-1, 0, 0, 1, 1, 2], np.int32)
    group = (3 + np.arange(homes) % 3).astype(np.int32)
    net = np.zeros((6, intervals))
    np.add.at(net, group, problems.net_load_kw + alone.battery_kw)
    net[1], net[2] = net[3] + net[4], net[5]
    net[0] = net[1] + net[2]
    limits = [np.repeat(0.9 * np.maximum(sign * net, 1.0).max(axis=1, keepdims=True), intervals, 1) for sign in (1, -1)]
    limits[0][2] = limits[1][2] = np.inf
    return problems, Groups(parent, group, *limits), net[0]


def central(problems: SiteProblems, groups: Groups, target: np.ndarray | None, reserve: Reserve | None) -> float:
    return optimal_cost(
        build(
            problems, parent=groups.parent, group=groups.group, import_limit_kw=groups.import_limit_kw,
            export_limit_kw=groups.export_limit_kw, target_kw=target,
            raise_kw=None if reserve is None else reserve.raise_kw,
            lower_kw=None if reserve is None else reserve.lower_kw,
            duration=0.0 if reserve is None else reserve.hours, penalty_per_kwh=PENALTY,
        )
    )  # fmt: skip


def sound(problems: SiteProblems, found: Coordination) -> None:
    schedule = Schedule(
        found.battery_kw,
        found.device_kw if problems.devices is not None else None,
        found.curtailed_kw if problems.curtailable_kw is not None else None,
    )
    assert check_plan(problems, schedule, schedule_cost(problems, schedule)[0]) == []


@pytest.mark.parametrize(
    ("seed", "homes", "intervals", "devices", "wants"),
    [
        (0, 6, 6, False, "feeders"), (1, 20, 24, False, "feeders and target"), (2, 12, 12, False, "reserve"),
        (3, 12, 12, True, "feeders and reserve"), (4, 15, 24, False, "feeders and target and reserve"),
        (5, 9, 24, True, "feeders and target"), (6, 5, 12, True, "feeders and target and reserve"),
    ],
)  # fmt: skip
def test_a_fleet_costs_what_one_central_programme_finds_and_the_gap_proves_it(
    seed: int, homes: int, intervals: int, devices: bool, wants: str
) -> None:
    problems, groups, net = flock(seed, homes, intervals, devices=devices)
    if "feeders" not in wants:
        groups = dataclasses.replace(
            groups, import_limit_kw=np.full((6, intervals), np.inf), export_limit_kw=np.full((6, intervals), np.inf)
        )
    target = net + 0.1 * np.abs(net).mean() * np.cos(np.arange(intervals)) if "target" in wants else None
    most = float(problems.batteries.charge_limit_kw.sum())
    reserve = Reserve(np.full(intervals, 0.2 * most), np.full(intervals, 0.1 * most), 0.5)
    asked = reserve if "reserve" in wants else None
    found = coordinate(problems, groups, target_kw=target, reserve=asked, penalty_per_kwh=PENALTY)
    optimum = central(problems, groups, target, asked)
    scale = max(1.0, abs(optimum))
    assert found.cost - found.gap <= optimum + 1e-8 * scale, "the bound is no bound"
    assert optimum <= found.cost + 1e-8 * scale, "the plan is cheaper than possible"
    assert found.gap <= 1e-3 * scale
    sound(problems, found)
    if asked is not None:
        short = reserve.raise_kw - found.raise_kw.sum(axis=0) - found.raise_short_kw
        assert np.abs(np.maximum(short, 0.0)).max() <= 1e-6
        assert (found.raise_price_per_kw >= -1e-6).all()


def test_prices_alone_make_homes_do_no_worse_than_the_bound() -> None:
    """What homes choose for themselves at the prices, plus what the limits are worth at them, is the proven bound."""
    problems, groups, _ = flock(7, 12, 24, devices=False)
    found = coordinate(problems, groups, penalty_per_kwh=PENALTY, tolerance=1e-6)
    lagrangian = 0.0
    for home in range(problems.homes):
        price = found.price_per_kwh[groups.group[home]]
        lagrangian += float(
            solve(dataclasses.replace(problems.rows(slice(home, home + 1)), coordination_per_kwh=price)).cost[0]
        )
    own = found.price_per_kwh.copy()
    own[1:] -= found.price_per_kwh[groups.parent[1:]]
    imports, exports = (
        np.where(np.isinf(limit), 0.0, limit) for limit in (groups.import_limit_kw, groups.export_limit_kw)
    )
    lagrangian -= float(((np.maximum(own, 0) * imports + np.maximum(-own, 0) * exports) * problems.hours).sum())
    scale = max(1.0, abs(found.cost))
    assert found.cost - found.gap - 1e-9 * scale <= lagrangian + 1e-6 * scale
    assert lagrangian <= found.cost + 1e-6 * scale
    assert found.cost - lagrangian <= 1e-5 * scale


def test_prices_of_a_moment_ago_are_a_start_that_saves_rounds_and_finds_the_same() -> None:
    problems, groups, _ = flock(14, 60, 24, devices=False)
    reserve = Reserve(np.full(24, 0.1 * float(problems.batteries.charge_limit_kw.sum())), np.zeros(24), 0.5)
    before = coordinate(problems, groups, reserve=reserve, penalty_per_kwh=PENALTY)
    later = dataclasses.replace(problems, net_load_kw=1.02 * problems.net_load_kw)
    cold = coordinate(later, groups, reserve=reserve, penalty_per_kwh=PENALTY)
    warm = coordinate(later, groups, reserve=reserve, penalty_per_kwh=PENALTY, start=before)
    scale = max(1.0, abs(cold.cost))
    assert warm.iterations < cold.iterations
    assert max(warm.gap, cold.gap) <= 1e-4 * scale
    assert max(warm.cost - warm.gap, cold.cost - cold.gap) <= min(warm.cost, cold.cost) + 1e-9 * scale
    assert not warm.lower_kw.any()
    assert not warm.lower_price_per_kw.any()


def test_without_anything_asked_homes_do_what_they_would_alone_at_a_price_of_0() -> None:
    problems, groups, _ = flock(8, 9, 12, devices=False)
    free = dataclasses.replace(
        groups, import_limit_kw=np.full((6, 12), np.inf), export_limit_kw=np.full((6, 12), np.inf)
    )
    found = coordinate(problems, free, tolerance=1e-6)
    assert found.cost == pytest.approx(float(solve(problems).cost.sum()), rel=1e-5)
    assert not found.price_per_kwh.any()


def test_two_threads_and_other_blocks_find_the_same() -> None:
    problems, groups, net = flock(9, 30, 12, devices=False)
    alone = coordinate(problems, groups, target_kw=0.9 * net, penalty_per_kwh=PENALTY)
    with ThreadPoolExecutor(2) as pool:
        threaded = coordinate(problems, groups, target_kw=0.9 * net, penalty_per_kwh=PENALTY, mapper=pool.map)
        other = coordinate(problems, groups, target_kw=0.9 * net, penalty_per_kwh=PENALTY, mapper=pool.map, block=3)
    assert threaded.cost == alone.cost
    np.testing.assert_array_equal(threaded.battery_kw, alone.battery_kw)
    assert other.cost == pytest.approx(alone.cost, rel=1e-4)


def test_a_feeder_that_cannot_carry_its_homes_is_paid_for_and_said() -> None:
    problems, groups, _ = flock(10, 9, 12, devices=False)
    tight = groups.import_limit_kw.copy()
    tight[3] = 0.0
    problems = dataclasses.replace(problems, net_load_kw=problems.net_load_kw + 4.0)
    found = coordinate(problems, dataclasses.replace(groups, import_limit_kw=tight), penalty_per_kwh=PENALTY)
    optimum = central(problems, dataclasses.replace(groups, import_limit_kw=tight), None, None)
    assert found.missed_kw[3].sum() > 0.1
    assert found.gap <= 1e-3 * max(1.0, abs(optimum))
    own = found.price_per_kwh[3] - found.price_per_kwh[groups.parent[3]]
    assert own.max() == pytest.approx(PENALTY, rel=1e-3)


def test_a_home_without_any_plan_is_named() -> None:
    problems, groups, _ = flock(11, 9, 12, devices=False)
    home = int(problems.batteries.capacity_kwh.argmax())
    floor = np.repeat(problems.batteries.floor_kwh[:, None], 12, axis=1)
    floor[home, 0] = problems.batteries.capacity_kwh[home]
    stored = problems.stored_kwh.copy()
    stored[home] = problems.batteries.floor_kwh[home]
    limits = VaryingLimits.of(problems.batteries, 12, floor_kwh=floor)
    asked = dataclasses.replace(problems, limits=limits, stored_kwh=stored)
    with pytest.raises(Infeasible, match=f"home {home}:"):
        coordinate(asked, groups)


def test_limits_that_make_no_sense_are_refused_by_name() -> None:
    problems, groups, _ = flock(12, 6, 6, devices=False)
    with pytest.raises(InvalidInput, match="import_limit_kw"):
        coordinate(problems, dataclasses.replace(groups, import_limit_kw=-groups.import_limit_kw))
    with pytest.raises(InvalidInput, match="parent"):
        coordinate(problems, dataclasses.replace(groups, parent=groups.parent[::-1].copy()))
    with pytest.raises(InvalidInput, match="target_kw"):
        coordinate(problems, groups, target_kw=np.zeros(5))


def test_a_home_that_is_on_or_off_is_refused_rather_than_planned_in_between() -> None:
    problems, groups, _ = flock(12, 6, 6, devices=False)
    least = np.zeros(6)
    least[4] = 2.0
    cells = dataclasses.replace(problems.batteries, least_discharge_kw=least)
    with pytest.raises(InvalidInput, match=r"home 4: least power is 2\.0"):
        coordinate(dataclasses.replace(problems, batteries=cells), groups)
