"""Plans for homes of every kind: each is solved the fastest way that is right for it, and says which way that was.

One storage, convex: slopes are merged (microseconds, exact). One storage, not convex: envelopes of piecewise-linear
functions (exact). Several storages at one connection: an interior point method, with a proven bound on what a better
plan could save. Several storages, not convex: a mixed-integer programme. Every plan is checked before it is returned.
Invariant: a home that cannot be planned costs the others nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F64, I64, U8, Bools
from powerflock.domain.errors import Infeasible, NotConvex, PowerflockError, Unsolved
from powerflock.optimise.check import Schedule, schedule_cost, unsound_plans
from powerflock.optimise.coupled import solve_coupled
from powerflock.optimise.envelope import solve_envelope
from powerflock.optimise.faults import faults
from powerflock.optimise.milp import HomeSchedule, solve_milp
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits
from powerflock.optimise.sessions import lowered, within_reach
from powerflock.optimise.site import Mapper, solve_each

GAP_RATIO = 1e-6
"""A coupled plan whose proven gap is above this share of its cost is solved again as a mixed-integer programme."""


class Method(IntEnum):
    """How a home's plan was made; NONE where there is no plan."""

    NONE = 0
    MERGED = 1
    ENVELOPE = 2
    COUPLED = 3
    MIXED_INTEGER = 4


@dataclass(frozen=True, slots=True)
class SitePlans:
    """`cost` (S,) $ of `schedule`, at most `gap` (S,) $ above the best there is; `method` (S,) as in `Method`.

    `short_kwh` (S,) is energy that was asked for by some time and cannot be there (a reserve, a car's departure): the
    plan comes as near as can be, and `cost` and `gap` are those of plans that do. For each storage it is what it is
    short of at worst. `errors` says by home why it has no plan: its row is NaN.
    """

    cost: F64
    gap: F64
    method: U8
    schedule: Schedule
    short_kwh: F64
    errors: dict[int, PowerflockError]


def plan_sites(problems: SiteProblems, mapper: Mapper = map) -> SitePlans:
    """Plans for S homes with any mix of batteries, cars and tanks; `mapper` may be an executor's `map`.

    Raises `InvalidInput` only for what concerns all homes: shapes, types, durations and prices.
    """
    faults(problems)
    asked = problems
    problems, short = within_reach(asked)
    board = _Board(asked, problems, short)
    storages = _storages_active(problems)
    alone = board.open(storages <= 1)
    if alone.size:
        board.fill_alone(_one_storage(problems), alone, mapper)
    several = board.open(storages > 1)
    if several.size:
        board.fill_several(several, mapper)
    return board.checked()


class _Board:
    """The plans as they come in."""

    def __init__(self, asked: SiteProblems, problems: SiteProblems, short_kwh: F64) -> None:
        self.asked, self.problems, self.short_kwh = asked, problems, short_kwh
        shape = (problems.homes, problems.intervals)
        self.errors: dict[int, PowerflockError] = dict(faults(problems))
        self.battery_kw, self.gap = np.full(shape, np.nan), np.zeros(problems.homes)
        self.bound = np.full(problems.homes, np.inf)
        self.curtailed_kw = None if problems.curtailable_kw is None else np.zeros(shape)
        devices = 0 if problems.devices is None else problems.devices.home.size
        self.device_kw = None if problems.devices is None else np.zeros((devices, problems.intervals))
        self.method = np.zeros(problems.homes, np.uint8)

    def open(self, wanted: Bools) -> I64:
        """The homes of `wanted` (S,) without fault."""
        sound = wanted.copy()
        sound[list(self.errors)] = False
        return np.flatnonzero(sound)

    def fill_alone(self, problems: SiteProblems, homes: I64, mapper: Mapper) -> None:
        """Homes with at most one storage: merged where convex, else by envelopes."""
        whole = homes.size == problems.homes
        plans = solve_each(problems if whole else problems.pick(homes), keep=0, mapper=mapper)
        self._put(homes, plans.battery_kw, plans.curtailed_kw, Method.MERGED)
        left = [homes[row] for row, error in plans.errors.items() if isinstance(error, NotConvex)]
        for row, error in plans.errors.items():
            if not isinstance(error, NotConvex):
                self._fill_milp(int(homes[row]), soft=True)
        if left:
            rest = np.sort(np.array(left, np.int64))
            found = solve_envelope(problems, rest, mapper=mapper)
            self._put(rest, found.battery_kw, found.curtailed_kw, Method.ENVELOPE)
            for home, error in found.errors.items():
                if isinstance(error, Infeasible):
                    self._fill_milp(home, soft=True)
                else:
                    self._fill_milp(home)

    def fill_several(self, homes: I64, mapper: Mapper) -> None:
        """Homes with several storages: coupled where that is proven good enough, else mixed-integer."""
        problems, devices = self.problems, self.problems.devices
        assert devices is not None, "several storages need devices"
        relaxed = homes[~_needs_integers(problems)[homes]]
        left = np.setdiff1d(homes, relaxed)
        if relaxed.size:
            found = solve_coupled(problems, relaxed, mapper=mapper)
            good = np.isfinite(found.cost) & (found.gap <= GAP_RATIO * np.maximum(1.0, np.abs(found.cost)))
            rows = np.isin(devices.home, relaxed[good])
            assert self.device_kw is not None
            self.device_kw[rows] = found.device_kw[rows]
            self._put(relaxed[good], found.battery_kw[good], found.curtailed_kw[good], Method.COUPLED)
            self.gap[relaxed[good]] = found.gap[good]
            left = np.concatenate([left, relaxed[~good]])
        for home in left.tolist():
            self._fill_milp(home)

    def _fill_milp(self, home: int, *, soft: bool = False) -> None:
        """Plan `home` as a mixed-integer programme; if that has no plan, as near to its floors as can be."""
        try:
            found = solve_milp(self.asked if soft else self.problems, home, soft=soft)
        except Unsolved as error:
            self.errors[home] = Unsolved(f"home {home}: {error}; ask again with other limits or fewer intervals.")
            return
        if found is None and not soft:
            self._fill_milp(home, soft=True)
        elif found is None:
            self._refuse(home)
        else:
            self._put_home(home, found)
            if soft:
                self.problems = lowered(self.problems, self.asked, home, found.short_kwh)
                self.short_kwh[home] = found.short_kwh.max(axis=1).sum()

    def _put_home(self, home: int, found: HomeSchedule) -> None:
        devices = self.problems.devices
        if devices is not None and self.device_kw is not None:
            self.device_kw[devices.home == home] = found.device_kw
        self._put(np.array([home]), found.battery_kw[None], found.curtailed_kw[None], Method.MIXED_INTEGER)
        self.bound[home] = found.bound

    def _put(self, homes: I64, battery_kw: F64, curtailed_kw: F64 | None, method: Method) -> None:
        devices = self.problems.devices
        self.battery_kw[homes], self.method[homes] = battery_kw, method
        if self.curtailed_kw is not None and curtailed_kw is not None:
            self.curtailed_kw[homes] = curtailed_kw
        if devices is not None and self.device_kw is not None and method in {Method.MERGED, Method.ENVELOPE}:
            own = np.full(self.problems.homes, -1)
            own[homes] = np.arange(homes.size)
            rows = np.flatnonzero(_active(devices.batteries, devices.limits) & (own[devices.home] >= 0))
            self.device_kw[rows] = battery_kw[own[devices.home[rows]]]
            self.battery_kw[devices.home[rows]] = 0.0

    def _refuse(self, home: int) -> None:
        self.errors[home] = Infeasible(
            f"home {home}: its storages' plan", "none",
            "no power keeps the connection and every stored energy within their limits",
            "Widen the connection's limits or the storages', let solar be switched off (curtailable_kw), "
            "or ask for less energy.",
        )  # fmt: skip

    def checked(self) -> SitePlans:
        """The plans, without those that the independent checker finds wrong."""
        schedule = Schedule(self.battery_kw, self.device_kw, self.curtailed_kw)
        cost = schedule_cost(self.problems, schedule)[0]
        self.errors |= unsound_plans(self.problems, schedule, cost, self.errors)
        # HiGHS's claim is not taken for it: the gap is that of the bill, so what its tolerances hide is in it.
        mixed = self.method == Method.MIXED_INTEGER
        self.gap[mixed] = np.maximum(cost - self.bound, 0.0)[mixed]
        bad = list(self.errors)
        cost[bad] = self.gap[bad] = self.battery_kw[bad] = np.nan
        self.method[bad] = Method.NONE
        if self.device_kw is not None and self.problems.devices is not None:
            self.device_kw[np.isin(self.problems.devices.home, bad)] = np.nan
        return SitePlans(cost, self.gap, self.method, schedule, self.short_kwh, self.errors)


def _active(cells: Batteries, limits: VaryingLimits | None) -> Bools:
    """(N,) which storages have any power at any time."""
    if limits is None:
        return np.asarray((cells.charge_limit_kw > 0) | (cells.discharge_limit_kw > 0))
    return np.asarray((limits.charge_limit_kw > 0).any(axis=1) | (limits.discharge_limit_kw > 0).any(axis=1))


def _storages_active(problems: SiteProblems) -> I64:
    """(S,) how many storages of each home have any power."""
    count = _active(problems.batteries, problems.limits).astype(np.int64)
    if problems.devices is not None:
        np.add.at(count, problems.devices.home, _active(problems.devices.batteries, problems.devices.limits))
    return count


def _one_storage(problems: SiteProblems) -> SiteProblems:
    """The problems with each home's only active device in the place of its idle battery, and no devices."""
    devices = problems.devices
    if devices is None:
        return problems
    rows = np.flatnonzero(_active(devices.batteries, devices.limits) & (_storages_active(problems)[devices.home] == 1))
    homes = devices.home[rows]
    cells, limits = problems.batteries, problems.limits
    if devices.limits is not None and limits is None:
        limits = VaryingLimits.of(cells, problems.intervals)
    names = ("charge_limit_kw", "discharge_limit_kw", "floor_kwh", "capacity_kwh")
    others = (
        "charge_efficiency_ratio",
        "discharge_efficiency_ratio",
        "wear_per_kwh",
        "least_charge_kw",
        "least_discharge_kw",
    )
    swapped = {
        name: _swapped(getattr(cells, name), homes, getattr(devices.batteries, name)[rows]) for name in names + others
    }
    if limits is not None:
        theirs = devices.limits or VaryingLimits.of(devices.batteries, problems.intervals)
        limits = replace(
            limits, **{name: _swapped(getattr(limits, name), homes, getattr(theirs, name)[rows]) for name in names}
        )
    return replace(
        problems, batteries=replace(cells, **swapped), limits=limits, devices=None,
        stored_kwh=_swapped(problems.stored_kwh, homes, devices.stored_kwh[rows]),
        terminal_per_kwh=_swapped(problems.terminal_per_kwh, homes, devices.terminal_per_kwh[rows]),
    )  # fmt: skip


def _swapped(column: F64, rows: np.ndarray, values: F64) -> F64:
    """A copy of `column` with `values` in `rows`."""
    copy = column.copy()
    copy[rows] = values
    return copy


def _needs_integers(problems: SiteProblems) -> Bools:
    """(S,) homes where a relaxation could cheat whatever it costs: least powers, or selling dearer than buying."""
    cells, devices = problems.batteries, problems.devices
    need = np.maximum(cells.least_charge_kw, cells.least_discharge_kw) > 0
    need |= (problems.export_per_kwh - problems.import_per_kwh).max(axis=1)[problems.tariff] > 0
    if devices is not None:
        least = np.maximum(devices.batteries.least_charge_kw, devices.batteries.least_discharge_kw) > 0
        need[devices.home[least]] = True
    return need
