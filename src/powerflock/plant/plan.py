"""A partition's plan: for each site two value functions at the starts of the intervals ahead, W and V."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from powerflock.domain.arrays import Bools
from powerflock.domain.errors import PowerflockError
from powerflock.optimise.check import unsound_plans
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper, Plans, ValueFunctions, solve_each
from powerflock.plant.policies import PolicyBatch


@dataclass(frozen=True, slots=True)
class Plan:
    """Value functions at the starts of intervals `first`, `first` + 1, …; `alone` is W and `fleet` is V.

    `errors` says by row why a site has no plan: it is left to itself. `policies` are there when it was their turn.
    """

    first: int
    alone: ValueFunctions
    fleet: ValueFunctions
    homes: int
    errors: Mapping[int, PowerflockError]
    policies: PolicyBatch | None = None

    def grown(self, sites: int) -> Plan:
        """The same plan with rows for sites enrolled since; those beyond `homes` mean nothing yet."""
        return replace(self, alone=_padded(self.alone, sites), fleet=_padded(self.fleet, sites))

    def covers(self, sites: int) -> Bools:
        """(S,) which sites have a plan."""
        covered = np.arange(sites) < self.homes
        covered[list(self.errors)] = False
        return covered

    def step(self, interval: int) -> int:
        """Index of the value function at the *end* of `interval`; −1 when the plan does not reach it."""
        step = interval - self.first + 1
        return step if 1 <= step < self.fleet.left.shape[1] else -1


def solve_checked(problems: SiteProblems, keep: int, mapper: Mapper) -> Plans:
    """As `solve_each`; a plan in which the independent checker finds something wrong is an error too."""
    plans = solve_each(problems, keep, mapper)
    unsound = unsound_plans(problems, plans.battery_kw, plans.cost, plans.errors)
    return replace(plans, errors={**plans.errors, **unsound})


def _padded(values: ValueFunctions, sites: int) -> ValueFunctions:
    """Value functions with empty rows added, `sites` in all."""
    more = sites - values.left.shape[0]
    if not more:
        return values
    columns = (getattr(values, field.name) for field in fields(values))
    return ValueFunctions(*(np.pad(each, ((0, more), *((0, 0),) * (each.ndim - 1))) for each in columns))
