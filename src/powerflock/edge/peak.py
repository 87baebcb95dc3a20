"""Keeps a site's billed peak low when nobody knows the day ahead: which import to hold, from the site's own past alone.

The recent days that are alike, shifted by what today shows, are scenarios of the hours ahead; each has a lowest level
that the stored energy can hold. Held is a level that is enough in most of them. It is worked out anew for each reading,
so it rises gradually when the energy will not last. The battery fills only up to what is needed in all of them. Neither
is below what is billed already: shaving that earns nothing. What follows is a setpoint at the connection for
`controller.control`, which has the last word on limits and reserve.
Invariants: only the past and the present are known; a silent meter costs that day's evidence, never a wrong command.
Must not know clocks, tariffs or the network. Passive signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from powerflock.curve.least_level import least_levels
from powerflock.domain.arrays import F64, Bools
from powerflock.domain.errors import InvalidInput
from powerflock.edge.limits import Limits

_UNKNOWN_DAY = -1


@dataclass(frozen=True, slots=True)
class PeakSettings:
    """How the past is read.

    The level is enough in `enough_ratio` of the last `days` days alike, among the last `memory_days`. Scenarios reach
    `ahead_hours`, at most a day; today's difference is taken over `recent_hours` and lasts `trend_hours`. The `caution`
    of the regression that carries it forward counts as so many days on which the load differed by the battery's power
    and nothing followed. Chosen on a year of four flats and two months of eight commercial sites together: from 0.7 to
    0.8 and from 10 to 40 days little changes, but a higher ratio or less caution costs some per cent.
    """

    enough_ratio: float = 0.8
    days: int = 20
    memory_days: int = 42
    ahead_hours: float = 12.0
    recent_hours: float = 2.0
    trend_hours: float = 6.0
    caution: float = 3.0


class Hold(NamedTuple):
    """Import above `most_kw` is met from the battery; below `fill_kw` ≤ `most_kw` it fills, at ∞ as fast as it can."""

    fill_kw: float
    most_kw: float

    def setpoint_kw(self, net_load_kw: float) -> float:
        """The import to hold beside this load + solar; where that is unknown, `most_kw`."""
        return self.most_kw if np.isnan(net_load_kw) else min(max(net_load_kw, self.fill_kw), self.most_kw)


class PeakShaver:
    """The import to hold at one site, interval by interval of a demand charge."""

    def __init__(self, limits: Limits, hours: float = 0.5, settings: PeakSettings | None = None) -> None:
        """For the one home in `limits`, billed by intervals of `hours`; nothing is billed yet and no day is known."""
        self.settings = settings or PeakSettings()
        if limits.capacity_kwh.shape != (1,):
            raise InvalidInput("homes in limits", limits.capacity_kwh.size, "must be 1", "Use one shaver a site.")
        if not (0.0 < hours <= 1.0) or (24.0 / hours) % 1.0:
            raise InvalidInput("hours", hours, "must divide the day, into hours or less")
        self.billed_kw = 0.0
        self._limits, self._hours, self._day = limits, hours, round(24.0 / hours)
        self.ahead = min(round(self.settings.ahead_hours / hours), self._day)
        self._recent = max(1, round(self.settings.recent_hours / hours))
        self._trend = max(1, round(self.settings.trend_hours / hours))
        self._net = np.full(self.settings.memory_days * self._day + self._recent, np.nan)
        self._kind = np.full(self._net.size, _UNKNOWN_DAY, np.int64)
        self._rows = _table(limits, self.ahead)

    def new_period(self) -> None:
        """The billing period is over: nothing is billed of the next."""
        self.billed_kw = 0.0

    def hold(self, counts: Bools, day_kind: int, net_load_kw: float, stored_kwh: float) -> Hold:
        """The import to hold now; ∞ where it does not count.

        Args:
            counts: (`ahead`,) whether import counts in this interval and the next ones.
            day_kind: what kind of day it is, ≥ 0; days of the same kind are alike (weekday or weekend, say).
            net_load_kw: load + solar of this interval as far as it is known; NaN where the meter is silent.
            stored_kwh: energy in the battery; NaN where unknown, and then what is billed already is held.
        """
        if counts.shape != (self.ahead,):
            raise InvalidInput("shape of counts", counts.shape, f"must be ({self.ahead},)")
        if not counts[0]:
            return Hold(np.inf, np.inf)
        if np.isnan(stored_kwh):
            return Hold(self.billed_kw, self.billed_kw)
        scenarios = self._scenarios(day_kind, net_load_kw)
        if not scenarios.size:
            return Hold(self.billed_kw, self.billed_kw)
        levels = np.empty(scenarios.shape[0])
        into, out = self._limits.charge_efficiency_ratio[0], self._limits.discharge_efficiency_ratio[0]
        rows = self._rows.copy()
        rows[:, 4] = np.maximum(rows[:, 4], scenarios.max())
        least_levels(
            np.full(self.ahead, self._hours), scenarios, max(stored_kwh, float(self._limits.reserve_kwh[0])),
            float(into), float(out), rows, counts, levels,
        )  # fmt: skip
        levels.sort()
        place = self.settings.enough_ratio * (levels.size - 1)
        below = int(place)
        above = min(below + 1, levels.size - 1)
        level = levels[below] + (place - below) * (levels[above] - levels[below])
        return Hold(max(float(levels[0]), self.billed_kw), max(float(level), self.billed_kw))

    def close(self, day_kind: int, net_load_kw: float, import_kw: float, *, counts: bool) -> None:
        """An interval is over: its mean load + solar, and its import as metered (what it counts); NaN where unknown."""
        for past, value in ((self._net, net_load_kw), (self._kind, day_kind)):
            past[:-1] = past[1:]
            past[-1] = value
        if counts and import_kw > self.billed_kw:
            self.billed_kw = import_kw

    def _scenarios(self, day_kind: int, net_load_kw: float) -> F64:
        """(N, `ahead`) the net load of this interval and the next, as on the last days alike, shifted by today's trend.

        Without any such day, the load as it is now; (0, …) where that is not known either.
        """
        net, now = self._net, self._net.size
        starts = now - self._day * np.arange(1, self.settings.memory_days + 1)
        starts = starts[self._kind[starts] == day_kind]
        known = int(np.isfinite(net_load_kw))
        before = net[starts[:, None] + np.arange(known - self._recent, known)]
        loads = net[starts[:, None] + np.arange(self.ahead)]
        sound = np.flatnonzero(np.isfinite(before.sum(axis=1) + loads.sum(axis=1)))[: self.settings.days]
        before, loads = before[sound], loads[sound]
        if not sound.size:
            return np.full((known, self.ahead), net_load_kw)
        recent = np.append(net, net_load_kw)[known - self._recent - 1 :][: self._recent]
        after = loads[:, known : known + self._trend]
        after += self._shift(recent, before, after)[:, None]
        if known:
            loads[:, 0] = net_load_kw
        return np.asarray(loads)

    def _shift(self, recent: F64, before: F64, after: F64) -> F64:
        """(N,) by how much the hours `after` are moved: today's difference `before`, times what usually follows of it.

        A regression over the days; 0 where today is not known.
        """
        x, y = before.mean(axis=1), after.mean(axis=1)
        today = recent.mean()
        if np.isnan(today):
            return np.zeros(x.size)
        apart = x - x.mean()
        damping = self.settings.caution * float(self._limits.discharge_limit_kw[0]) ** 2
        follows = float(apart @ (y - y.mean())) / max(float(apart @ apart) + damping, 1e-12)
        return np.asarray(min(max(follows, 0.0), 1.0) * (today - x))


def _table(limits: Limits, ahead: int) -> F64:
    """(`ahead`, 6) the one home's limits, as `least_level` reads them; export is never what decides."""
    columns = (
        limits.charge_limit_kw, limits.discharge_limit_kw, limits.reserve_kwh, limits.capacity_kwh,
        limits.import_limit_kw,
    )  # fmt: skip
    return np.array([[*(float(column[0]) for column in columns), np.inf]] * ahead)
