"""The books of the interval that is open, and what they come to when it is settled, as columns by site."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from powerflock.domain.arrays import F64


@dataclass(slots=True)
class Books:
    """(S,) what happened since the interval opened; energy and register at its start. NaN: not known.

    `cost` is bill and wear, $; `beside_kwh` the net energy of the world beside.
    """

    stored_kwh: F64
    register_kwh: F64
    last_register_kwh: F64
    cost: F64
    load_kwh: F64
    beside_kwh: F64

    def grown(self, sites: int) -> Books:
        """The same books with rows for sites enrolled since, of which nothing is known before the next interval."""
        more = sites - self.cost.size
        columns = (getattr(self, field.name) for field in fields(self))
        return Books(*(np.pad(column, (0, more), constant_values=np.nan) for column in columns))


@dataclass(frozen=True, slots=True)
class SiteResult:
    """(S,) one interval's result: net energy, that of the world beside, the owner's regret in $."""

    net_kwh: F64
    beside_kwh: F64
    regret: F64
