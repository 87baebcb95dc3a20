"""Real commercial sites under a real demand tariff, with batteries: perfect foresight, and the edge in a closed loop.

The tariff is Ausgrid's EA302 of 2017 with a retailer's energy prices: 39.3159 c a kW and day on the billing period's
highest half hour of weekdays, 14 to 20 h. Each site gets a lossy battery of half the power of the highest half hour of
its first two weeks, full at the start. Those two weeks are history only; then follow two billing periods, the rest of
March and April, each beginning with nothing billed. Public holidays are weekdays like others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np

from benchmarks.peak_reference import Sites
from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.edge.controller import control
from powerflock.edge.limits import Limits
from powerflock.edge.peak import PeakShaver
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.peak import plan_peaks
from powerflock.optimise.problem import Batteries, SiteProblems

WARM_UP_DAYS = 14
POWER_RATIO, EFFICIENCY_RATIO, WIDE_KW = 0.5, 0.95, 1_000.0
DEMAND_PER_KW_DAY = 0.393159
PEAK_PER_KWH, SHOULDER_PER_KWH, OFF_PEAK_PER_KWH = 0.177167, 0.144491, 0.106437
EXPORT_PER_KWH, WEAR_PER_KWH = 0.05, 0.02

Levels: TypeAlias = Callable[[int, F64, F64], tuple[F64, F64]]
"""(S,) import up to which to fill and import to hold in interval t, given its net load (S,) and stored energy (S,)."""
Close: TypeAlias = Callable[[int, F64], None]
"""Told what was imported (S,) in interval t."""


@dataclass(frozen=True, slots=True)
class Case:
    """Real sites with their batteries: `net_load_kw` (S, T), where import `counts` (T,), `period` (T,).

    `period` is −1 in the warm-up, `day_kind` (T,) 1 on weekdays; `buy_per_kwh` (T,), `price_per_kw` (P,) by period.
    """

    net_load_kw: F64
    counts: Bools
    period: I64
    day_kind: I64
    buy_per_kwh: F64
    price_per_kw: F64
    power_kw: F64
    energy_kwh: F64

    def bill(self, import_kw: F64) -> F64:
        """(S,) demand charges of all periods, $."""
        peaks = np.stack([self.highest(import_kw, period) for period in range(self.price_per_kw.size)], axis=1)
        return np.asarray(peaks @ self.price_per_kw)

    def highest(self, import_kw: F64, period: int) -> F64:
        """(S,) highest import that counts in a period, kW."""
        return np.asarray(import_kw[:, (self.period == period) & self.counts].max(axis=1, initial=0.0))


def case(sites: Sites, storage_hours: float) -> Case:
    """The sites under the tariff, with batteries of `storage_hours`."""
    warm = sites.day < sites.day[0] + WARM_UP_DAYS
    months, period = np.unique(sites.month[~warm], return_inverse=True)
    periods = np.full(sites.day.size, -1)
    periods[~warm] = period
    days = [np.unique(sites.day[periods == index]).size for index in range(months.size)]
    evening = sites.weekday & (sites.slot >= 28) & (sites.slot < 40)
    shoulder = sites.weekday & (sites.slot >= 14) & (sites.slot < 44)
    buy = np.where(evening, PEAK_PER_KWH, np.where(shoulder, SHOULDER_PER_KWH, OFF_PEAK_PER_KWH))
    power = POWER_RATIO * sites.net_load_kw[:, warm].max(axis=1)
    return Case(
        sites.net_load_kw, evening, periods, sites.weekday.astype(np.int64), buy,
        DEMAND_PER_KW_DAY * np.array(days), power, power * storage_hours,
    )  # fmt: skip


def problems(sites: Case, part: Bools) -> tuple[SiteProblems, DemandCharges]:
    """Perfect foresight of the intervals in `part`, one billing period: the exact problem of all sites."""
    net, homes = sites.net_load_kw[:, part], sites.power_kw.size
    cells = Batteries.of(
        homes, capacity_kwh=sites.energy_kwh, charge_limit_kw=sites.power_kw, discharge_limit_kw=sites.power_kw,
        charge_efficiency_ratio=EFFICIENCY_RATIO, discharge_efficiency_ratio=EFFICIENCY_RATIO,
        wear_per_kwh=WEAR_PER_KWH, import_limit_kw=WIDE_KW, export_limit_kw=WIDE_KW,
    )  # fmt: skip
    made = SiteProblems.of(
        cells, net, hours=0.5, import_per_kwh=sites.buy_per_kwh[part], export_per_kwh=EXPORT_PER_KWH,
        stored_kwh=sites.energy_kwh, terminal_per_kwh=OFF_PEAK_PER_KWH,
    )  # fmt: skip
    price = sites.price_per_kw[int(sites.period[part][-1])]
    return made, DemandCharges.of(made, per_kw=price, counts=sites.counts[part])


def month(sites: Case, intervals: int) -> SiteProblems:
    """The sites' exact problem over the record's last `intervals`."""
    return problems(sites, np.arange(sites.period.size) >= sites.period.size - intervals)[0]


def perfect(sites: Case) -> F64:
    """(S,) demand charges of all periods when each is planned knowing all of it, $."""
    total = np.zeros(sites.power_kw.size)
    for period in range(sites.price_per_kw.size):
        total += plan_peaks(*problems(sites, sites.period == period)).demand_charge
    return total


@dataclass(frozen=True, slots=True)
class Course:
    """What happened, each (S, T): import, the level held (∞ where none), stored energy at the interval's end."""

    import_kw: F64
    level_kw: F64
    stored_kwh: F64


def follow(sites: Case, levels: Levels, close: Close) -> Course:
    """The edge's control law holds `levels` after the warm-up; the battery answers to the load as it is metered."""
    limits, shape = _limits(sites), sites.net_load_kw.shape
    course = Course(sites.net_load_kw.copy(), np.full(shape, np.inf), np.empty(shape))
    stored, silent = sites.energy_kwh.copy(), np.full(shape[0], np.nan)
    for t in range(shape[1]):
        net = sites.net_load_kw[:, t]
        if sites.period[t] >= 0:
            fill, level = levels(t, net, stored)
            setpoint = np.clip(net, fill, level)
            power = control(
                net, stored, sites.power_kw, sites.power_kw, setpoint, silent, limits, MICROS_PER_HOUR // 2
            )  # fmt: skip
            stored = stored + 0.5 * np.where(power > 0, power * EFFICIENCY_RATIO, power / EFFICIENCY_RATIO)
            course.import_kw[:, t], course.level_kw[:, t] = net + power, level
        course.stored_kwh[:, t] = stored
        close(t, course.import_kw[:, t])
    return course


def shaved(sites: Case, *, metered: bool = True) -> Course:
    """The edge's peak shavers, one a site, which know the past alone and, if `metered`, the load of this interval."""
    limits = _limits(sites)
    shavers = [PeakShaver(one_home(limits, home)) for home in range(sites.power_kw.size)]
    ahead = shavers[0].ahead
    counts = np.append(sites.counts, np.zeros(ahead, np.bool_))

    def levels(t: int, net_kw: F64, stored_kwh: F64) -> tuple[F64, F64]:
        window, kind = counts[t : t + ahead], int(sites.day_kind[t])
        seen_kw = net_kw if metered else np.full_like(net_kw, np.nan)
        state = zip(shavers, seen_kw.tolist(), stored_kwh.tolist(), strict=True)
        fill, most = np.array([shaver.hold(window, kind, net, stored) for shaver, net, stored in state]).T
        return fill, most

    def close(t: int, import_kw: F64) -> None:
        period, kind, counted = int(sites.period[t]), int(sites.day_kind[t]), bool(sites.counts[t])
        for home, shaver in enumerate(shavers):
            if t > 0 and period != sites.period[t - 1]:
                shaver.new_period()
            shaver.close(
                kind, float(sites.net_load_kw[home, t]), float(import_kw[home]), counts=counted and period >= 0
            )

    return follow(sites, levels, close)


def fixed(sites: Case) -> Course:
    """What is often done: hold the last period's highest load less the battery's power, or what is billed already."""
    billed, target = np.zeros(sites.power_kw.size), np.zeros(sites.power_kw.size)

    def levels(t: int, _net_kw: F64, _stored_kwh: F64) -> tuple[F64, F64]:
        period = int(sites.period[t])
        if period != sites.period[t - 1]:
            billed[:] = 0.0
            target[:] = np.maximum(sites.highest(sites.net_load_kw, period - 1) - sites.power_kw, 0.0)
        level = np.where(sites.counts[t], np.maximum(billed, target), np.inf)
        return level, level

    def close(t: int, import_kw: F64) -> None:
        if sites.counts[t]:
            np.maximum(billed, import_kw, out=billed)

    return follow(sites, levels, close)


def one_home(limits: Limits, home: int) -> Limits:
    """The limits of one home."""
    return Limits(*(getattr(limits, field.name)[home : home + 1] for field in fields(Limits)))


def _limits(sites: Case) -> Limits:
    homes = sites.power_kw.size
    wide, ratio = np.full(homes, WIDE_KW), np.full(homes, EFFICIENCY_RATIO)
    return Limits(sites.energy_kwh, np.zeros(homes), sites.power_kw, sites.power_kw, ratio, ratio, wide, wide)
