"""Every number that can be asked of a site, by name: as whole columns to filter and sort by, or for a few rows.

Invariants: both come from the same formula, so that what is shown is what was sorted by; a column is worked out when it
is first asked for, once a turn. Passive signs; NaN is unknown, and so is what a site does not have. Must not know the
API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.clock import MICROS_PER_S
from powerflock.groups.capacity import up_down
from powerflock.twins.commanded import Commanded
from powerflock.twins.estimate import Freshness, SiteColumns

Rows: TypeAlias = slice | I64
ALL = slice(None)


class SiteNumbers(Mapping[str, F64]):
    """(S,) float64 columns of one partition at one turn, by name."""

    def __init__(self, now_us: int, columns: SiteColumns, commanded: Commanded, has_solar: Bools) -> None:
        """The turn's `columns` and `commanded` at `now_us`; `has_solar` (S,) sites with panels."""
        self.now_us, self.columns, self.commanded, self.has_solar = now_us, columns, commanded, has_solar
        self._made: dict[str, F64] = {}

    def __getitem__(self, name: str) -> F64:
        if name not in self._made:
            self._made[name] = _FORMULAS[name](self, ALL)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_FORMULAS)

    def __len__(self) -> int:
        return len(_FORMULAS)

    def at(self, name: str, rows: I64) -> F64:
        """(R,) the column's values in `rows` alone."""
        return self._made[name][rows] if name in self._made else _FORMULAS[name](self, rows)


def _age_s(of: SiteNumbers, rows: Rows) -> F64:
    return of.columns.age_us[rows] / MICROS_PER_S


def _power_kw(of: SiteNumbers, rows: Rows) -> F64:
    return of.columns.meter_kw[rows]


def _battery_kw(of: SiteNumbers, rows: Rows) -> F64:
    return np.where(of.columns.table.capacity_kwh[rows] > 0.0, of.columns.battery_kw[rows], np.nan)


def _solar_kw(of: SiteNumbers, rows: Rows) -> F64:
    return np.where(of.has_solar[rows], of.columns.solar_kw[rows], np.nan)


def _load_kw(of: SiteNumbers, rows: Rows) -> F64:
    return of.columns.load_kw[rows]


def _soc_ratio(of: SiteNumbers, rows: Rows) -> F64:
    capacity = of.columns.capacity_kwh[rows]
    return of.columns.stored_kwh[rows] / np.where(capacity > 0.0, capacity, np.nan)


def _up_kw(of: SiteNumbers, rows: Rows) -> F64:
    return up_down(of.columns, rows=rows)[0]


def _down_kw(of: SiteNumbers, rows: Rows) -> F64:
    return up_down(of.columns, rows=rows)[1]


def _desired_kw(of: SiteNumbers, rows: Rows) -> F64:
    return of.commanded.desired_kw[rows]


def _applied_kw(of: SiteNumbers, rows: Rows) -> F64:
    return of.commanded.applied_kw[rows]


def _deviation_kw(of: SiteNumbers, rows: Rows) -> F64:
    """|meter − confirmed setpoint|, once the meter was read after the edge confirmed it; estimates are not judged."""
    told = of.commanded
    judged = told.metered_us[rows] >= told.answered_us[rows]
    judged &= of.columns.freshness[rows] != Freshness.SILENT
    return np.where(judged, np.abs(of.columns.meter_kw[rows] - told.applied_kw[rows]), np.nan)


def _unapplied_kw(of: SiteNumbers, rows: Rows) -> F64:
    """|setpoint wanted − setpoint confirmed|."""
    return np.abs(of.commanded.desired_kw[rows] - of.commanded.applied_kw[rows])


_FORMULAS: dict[str, Callable[[SiteNumbers, Rows], F64]] = {
    "age_s": _age_s,
    "power_kw": _power_kw,
    "battery_kw": _battery_kw,
    "solar_kw": _solar_kw,
    "load_kw": _load_kw,
    "soc_ratio": _soc_ratio,
    "up_kw": _up_kw,
    "down_kw": _down_kw,
    "desired_kw": _desired_kw,
    "applied_kw": _applied_kw,
    "deviation_kw": _deviation_kw,
    "unapplied_kw": _unapplied_kw,
}
