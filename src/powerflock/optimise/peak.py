"""Plans for homes that pay for their highest import: peak shaving to the end of the billing period, exact.

For given peak levels the home is a site problem whose import limits are the levels. Its cost falls with the level and
the charge rises, both convex and piecewise linear: a search over the level, each evaluation one site solve, all homes'
in one batch. Several charges (any time, evenings) are searched one inside the other.
Invariants: the levels are never below what is billed already, and the cost is within `tolerance` of the optimum.
Must not know tariffs' calendars, forecasts or how a plan is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from powerflock.curve.least_level import least_level
from powerflock.domain.arrays import F64
from powerflock.domain.errors import PowerflockError
from powerflock.optimise.check import constant_limits
from powerflock.optimise.convex_search import Asks, Value, minimise
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.problem import SiteProblems, VaryingLimits
from powerflock.optimise.site import Mapper, Plans, solve_each

_BLOCK = 256
"""Homes searched together: bounds the memory that their limits take."""
_INNER = 1e-3
"""What an inner search may be off by, of what the one around it may."""


@dataclass(frozen=True, slots=True)
class PeakPlans:
    """What S homes do and what it costs to the end of the billing period; NaN for the homes in `errors`.

    `level_kw` (S, C): the period's peak for each charge, what is billed already included. `cost` (S,) = `energy_bill` +
    `wear` + `demand_charge` (of the whole period) − `terminal_value`. `plans`: the site plans at these levels, whose
    cost is without the demand charge and whose policies keep to the levels.
    """

    level_kw: F64
    cost: F64
    energy_bill: F64
    wear: F64
    demand_charge: F64
    terminal_value: F64
    plans: Plans
    errors: Mapping[int, PowerflockError]


def plan_peaks(
    problems: SiteProblems, charges: DemandCharges, *, keep: int = 1, mapper: Mapper = map, tolerance: float = 1e-7
) -> PeakPlans:
    """The best peak levels and plans of S homes; the horizon must be the end of the billing period.

    `tolerance` is the most, in $, that the cost may lie above the optimum; rounding adds about 1e-9 of the cost.
    `keep` and `mapper` as in `site.solve`. A home that cannot be planned is named in `errors`, which say why. Raises
    `InvalidInput` and `NotConvex` for what concerns all homes.
    """
    charges.check(problems)
    free = solve_each(problems, 0, mapper)
    errors: Mapping[int, PowerflockError] = {**free.errors, **charges.faults()}
    free_kw = _net(problems, free)
    level = np.full((problems.homes, charges.per_kw.shape[0]), np.nan)
    rows = np.array([home for home in range(problems.homes) if home not in errors], np.int64)
    for start in range(0, rows.size, _BLOCK):
        part = rows[start : start + _BLOCK]
        mine = replace(charges, billed_kw=charges.billed_kw[part])
        level[part] = _levels(problems.pick(part), mine, free_kw[part], mapper, tolerance)
    limited = replace(problems, limits=_limits(problems, charges, np.where(np.isnan(level), np.inf, level)))
    plans = solve_each(limited, keep, mapper)
    return _accounts(problems, charges, plans, {**plans.errors, **errors})


def _levels(problems: SiteProblems, charges: DemandCharges, free_kw: F64, mapper: Mapper, tolerance: float) -> F64:
    """(S, C) the best levels of homes that can be planned; without charges their net power is `free_kw` (S, T)."""
    homes = [_Home(problems, charges, home, free_kw[home], tolerance) for home in range(problems.homes)]
    searches = {home: homes[home].search([]) for home in range(problems.homes)}
    asked = {home: next(search) for home, search in searches.items()}
    best = charges.billed_kw.copy()
    while asked:
        rows = np.array([home for home, levels in asked.items() for _ in levels], np.int64)
        levels = np.array([level for wanted in asked.values() for level in wanted])
        part = problems.pick(rows)
        part = replace(part, limits=_limits(part, charges, levels))
        costs = solve_each(part, 0, mapper).cost + charges.cost(levels).sum(axis=1)
        answers = np.where(np.isnan(costs), np.inf, costs).tolist()
        first, following = 0, {}
        for home, wanted in asked.items():
            end = first + len(wanted)
            try:
                following[home] = searches[home].send(answers[first:end])
            except StopIteration as stop:
                best[home] = stop.value[1]
            first = end
        asked = following
    return best


class _Home:
    """One home's search: the first charge's level outermost, the last one's innermost."""

    def __init__(
        self, problems: SiteProblems, charges: DemandCharges, home: int, free_kw: F64, tolerance: float
    ) -> None:
        limits = constant_limits(problems.batteries) if problems.limits is None else problems.limits
        steps = problems.intervals
        self.charges, self.billed, self.tolerance = charges, charges.billed_kw[home], tolerance
        self.hours, self.net, self.stored = problems.hours, problems.net_load_kw[home], float(problems.stored_kwh[home])
        self.into = float(problems.batteries.charge_efficiency_ratio[home])
        self.out = float(problems.batteries.discharge_efficiency_ratio[home])
        self.limits = np.array(np.broadcast_to(limits.rows(slice(home, home + 1)).stacked()[0], (steps, 6)))
        self.solar = np.zeros(steps) if problems.curtailable_kw is None else problems.curtailable_kw[home]
        most = (
            free_kw
            if self.billed.size == 1
            else np.minimum(self.net + self.solar + self.limits[:, 0], self.limits[:, 4])
        )
        self.most = charges.highest(most[None])[0]

    def search(self, levels: list[float]) -> Asks[Value]:
        """The best levels of the charges after those of `levels`, which are held."""
        charge, limits = len(levels), self.limits.copy()
        for level, counts in zip(levels, self.charges.counts, strict=False):
            limits[counts, 4] = np.minimum(limits[counts, 4], level)
        counts = self.charges.counts[charge]
        least = least_level(self.hours, self.net, self.solar, self.stored, self.into, self.out, limits, counts)
        low = max(float(self.billed[charge]), least)
        high, kinks = max(low, float(self.most[charge])), self.charges.block_from_kw[charge].tolist()
        found = yield from minimise(
            lambda tried: self._costs(levels, tried), lambda level: self._cost(charge, level), low, high, kinks,
            self.tolerance * _INNER**charge,
        )  # fmt: skip
        return found

    def _costs(self, levels: list[float], tried: list[float]) -> Asks[list[Value]]:
        """The least cost at each level in `tried` of the next charge."""
        if len(levels) + 1 == self.billed.size:
            wanted = [[*levels, level] for level in tried]
            return list(zip((yield wanted), wanted, strict=True))
        found = []
        for level in tried:
            found.append((yield from self.search([*levels, level])))  # noqa: PERF401 - a comprehension may not yield
        return found

    def _cost(self, charge: int, level: float) -> float:
        rises = zip(self.charges.block_from_kw[charge].tolist(), self.charges.per_kw[charge].tolist(), strict=True)
        cost = before = 0.0
        for begins, price in rises:
            cost, before = cost + max(level - begins, 0.0) * (price - before), price
        return cost


def _limits(problems: SiteProblems, charges: DemandCharges, level_kw: F64) -> VaryingLimits:
    """The homes' limits, with import no higher than `level_kw` (S, C) where each charge counts."""
    own, shape = problems.limits or constant_limits(problems.batteries), problems.net_load_kw.shape
    capped = np.array(np.broadcast_to(own.import_limit_kw, shape))
    for counts, level in zip(charges.counts, level_kw.T, strict=True):
        np.minimum(capped, level[:, None], out=capped, where=counts)
    columns = replace(own, import_limit_kw=capped)
    return VaryingLimits(*(np.array(np.broadcast_to(getattr(columns, field.name), shape)) for field in fields(columns)))


def _net(problems: SiteProblems, plans: Plans) -> F64:
    """(S, T) kW at the connection."""
    return problems.net_load_kw + plans.battery_kw + (0.0 if plans.curtailed_kw is None else plans.curtailed_kw)


def _accounts(
    problems: SiteProblems, charges: DemandCharges, plans: Plans, errors: Mapping[int, PowerflockError]
) -> PeakPlans:
    """The cost of `plans` in its parts."""
    cells, power, hours = problems.batteries, plans.battery_kw, problems.hours
    net = _net(problems, plans)
    buy = problems.import_per_kwh[problems.tariff] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[problems.tariff] + problems.coordination_per_kwh
    bill = ((np.maximum(net, 0.0) * buy - np.maximum(-net, 0.0) * sell) * hours).sum(axis=1)
    wear = cells.wear_per_kwh * (np.abs(power) * hours).sum(axis=1)
    level = charges.highest(net)
    demand = charges.cost(level).sum(axis=1)
    lost = list(errors)
    for column in (level, bill, wear, demand):
        column[lost] = np.nan
    return PeakPlans(level, plans.cost + demand, bill, wear, demand, bill + wear - plans.cost, plans, errors)
