"""The books of the interval that is open, and what they come to when it is settled, as columns by site."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from powerflock.domain.arrays import F64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.twins.estimate import Freshness, SiteColumns

_MARGIN = 2.0
_METER_RESOLUTION_KWH = 0.1
_STORAGE_RESOLUTION_RATIO = 0.05


@dataclass(slots=True)
class Books:
    """(S,) what happened since the interval opened; energy and register at its start. NaN: not known.

    `cost` is bill and wear, $; `beside_kwh` the net energy of the world beside. The `last_…` are the previous turn's:
    register, energy stored, hours since anything was read. `sound` is false for a home of which the interval was partly
    only estimated, or whose battery was found elsewhere: what following cost its owner cannot be told.
    """

    stored_kwh: F64
    register_kwh: F64
    last_register_kwh: F64
    cost: F64
    load_kwh: F64
    beside_kwh: F64
    last_stored_kwh: F64
    last_age_h: F64
    sound: Bools

    @staticmethod
    def opened(columns: SiteColumns) -> Books:
        """Nothing has happened yet, from where batteries and meters stand."""
        zeros = np.zeros(columns.stored_kwh.size)
        return Books(
            stored_kwh=columns.stored_kwh.copy(),
            register_kwh=columns.register_kwh.copy(),
            last_register_kwh=columns.register_kwh.copy(),
            cost=zeros,
            load_kwh=zeros.copy(),
            beside_kwh=zeros.copy(),
            last_stored_kwh=columns.stored_kwh.copy(),
            last_age_h=age_h(columns),
            sound=columns.freshness != Freshness.SILENT,
        )

    def grown(self, sites: int) -> Books:
        """The same books with rows for sites enrolled since, of which nothing is known before the next interval."""
        more = sites - self.cost.size
        columns = (getattr(self, field.name) for field in fields(self))
        return Books(
            *(
                np.pad(column, (0, more), constant_values=False if column.dtype == np.bool_ else np.nan)
                for column in columns
            )
        )

    def turned(self, columns: SiteColumns) -> None:
        """The turn is over: the next one starts from these columns."""
        self.last_register_kwh = columns.register_kwh.copy()
        self.last_stored_kwh = columns.stored_kwh.copy()
        self.last_age_h = age_h(columns)
        self.sound &= columns.freshness != Freshness.SILENT

    def register_rise(self, columns: SiteColumns, hours: float) -> F64:
        """(S,) kWh since the last turn; the meter's power where a register jumped by more than the connection carries.

        A meter that was replaced starts again from another number: the interval's books are moved along, so that the
        jump is no energy. A home that was not heard of for long may have used all its connection meanwhile.
        """
        table, rise = columns.table, columns.register_kwh - self.last_register_kwh
        limit_kw = np.maximum(table.import_limit_kw, table.export_limit_kw)
        jumped = np.abs(rise) > _MARGIN * limit_kw * (hours + self.last_age_h) + _METER_RESOLUTION_KWH
        plausible = np.where(jumped, columns.meter_kw * hours, rise)
        self.register_kwh += np.where(jumped, rise - plausible, 0.0)
        return plausible

    def mark_unsound(self, columns: SiteColumns, hours: float) -> Bools:
        """(S,) homes whose battery went from estimated to known, or further than its power carries; not `sound` now."""
        table, change = columns.table, np.abs(columns.stored_kwh - self.last_stored_kwh)
        limit_kw = np.maximum(table.charge_limit_kw, table.discharge_limit_kw / table.discharge_efficiency_ratio)
        resolution_kwh = _STORAGE_RESOLUTION_RATIO * table.capacity_kwh
        found = ~self.sound | (change > _MARGIN * limit_kw * (hours + self.last_age_h) + resolution_kwh)
        self.sound &= ~found
        return found


def age_h(columns: SiteColumns) -> F64:
    """(S,) hours since the site was last read; 0 where it never was."""
    return np.nan_to_num(columns.age_us) / MICROS_PER_HOUR


@dataclass(frozen=True, slots=True)
class SiteResult:
    """(S,) one interval's result: net energy, that of the world beside, the owner's regret in $."""

    net_kwh: F64
    beside_kwh: F64
    regret: F64
