"""A partition's plan: for each site two value functions at the starts of the intervals ahead, W and V."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from powerflock.domain.arrays import Bools
from powerflock.optimise.site import ValueFunctions
from powerflock.plant.policies import PolicyBatch


@dataclass(frozen=True, slots=True)
class Plan:
    """Value functions at the starts of intervals `first`, `first` + 1, …; `alone` is W and `fleet` is V.

    `policies` are there when it was their turn to be made.
    """

    first: int
    alone: ValueFunctions
    fleet: ValueFunctions
    raised_intervals: int
    homes: int
    policies: PolicyBatch | None = None

    def grown(self, sites: int) -> Plan:
        """The same plan with rows for sites enrolled since; those beyond `homes` mean nothing yet."""
        return replace(self, alone=_padded(self.alone, sites), fleet=_padded(self.fleet, sites))

    def covers(self, sites: int) -> Bools:
        """(S,) which sites it was made for."""
        return np.arange(sites) < self.homes

    def step(self, interval: int) -> int:
        """Index of the value function at the *end* of `interval`; −1 when the plan does not reach it."""
        step = interval - self.first + 1
        return step if 1 <= step < self.fleet.left.shape[1] else -1


def _padded(values: ValueFunctions, sites: int) -> ValueFunctions:
    """Value functions with empty rows added, `sites` in all."""
    more = sites - values.left.shape[0]
    columns = (getattr(values, field.name) for field in fields(values))
    return ValueFunctions(*(np.pad(each, ((0, more), *((0, 0),) * (each.ndim - 1))) for each in columns))
