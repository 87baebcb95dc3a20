"""The policies that S homes hold, as columns: what each wants its battery to do now.

Invariants: levels are looked up once an interval, and only where they are asked for; before a policy begins and after
it ends there is none. Must not know how policies come, nor whether they should be held.
"""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.policy import Policy, power_to_levels

NEVER_US = np.iinfo(np.int64).min
_FOR_EVER_US = np.iinfo(np.int64).max


class PolicyColumns:
    """The policies of S homes; `held` (S,) says which have one."""

    def __init__(self, homes: int) -> None:
        """No policy held."""
        self.held: Bools = np.zeros(homes, np.bool_)
        self._policies: dict[int, Policy] = {}
        self._levels = np.full((4, homes), np.nan)
        self._ratios = np.ones((2, homes))
        self._from_us, self._until_us = np.full(homes, NEVER_US), np.full(homes, NEVER_US)

    def grow(self, homes: int) -> None:
        """Homes without a policy added, `homes` in all."""
        more = PolicyColumns(homes - self.held.size)
        self.held = np.concatenate((self.held, more.held))
        self._levels = np.concatenate((self._levels, more._levels), axis=1)
        self._ratios = np.concatenate((self._ratios, more._ratios), axis=1)
        self._from_us = np.concatenate((self._from_us, more._from_us))
        self._until_us = np.concatenate((self._until_us, more._until_us))

    def policy(self, row: int) -> Policy | None:
        """What the home `row` holds."""
        return self._policies.get(row)

    def hold(self, row: int, policy: Policy | None) -> None:
        """The home `row` goes by `policy` from now on; None: by none."""
        self.held[row], self._until_us[row] = policy is not None, NEVER_US
        if policy is None:
            self._policies.pop(row, None)
            return
        self._policies[row] = policy
        self._ratios[:, row] = policy.charge_efficiency_ratio, policy.discharge_efficiency_ratio

    def power_kw(self, wanted: Bools, now_us: int, stored_kwh: F64, net_load_kw: F64, dt_us: int) -> F64:
        """(S,) battery power that the policies of the homes `wanted` (S,) want for `dt_us`; NaN where there is none.

        Reached at the interval's end, or after `dt_us` if that is later. No limits are applied.
        """
        rows: I64 = np.flatnonzero(wanted & self.held)
        power = np.full(wanted.size, np.nan)
        if not rows.size:
            return power
        for row in rows[(now_us < self._from_us[rows]) | (now_us >= self._until_us[rows])].tolist():
            self._look_up(row, now_us)
        hours = np.maximum(self._until_us[rows] - now_us, dt_us) / MICROS_PER_HOUR
        buy, keep, use, sell = self._levels[:, rows]
        ratios = self._ratios[0, rows], self._ratios[1, rows]
        power[rows] = power_to_levels(
            (buy, keep, use, sell), stored_kwh[rows], net_load_kw[rows], hours, ratios, np.minimum, np.maximum
        )
        return power

    def _look_up(self, row: int, now_us: int) -> None:
        """Put the levels in force at `now_us` into their columns; NaN before the policy begins and after it ends."""
        policy = self._policies[row]
        bounds, index = policy.bounds_us, policy.interval(now_us)
        if index is None:
            before = now_us < bounds[0]
            self._levels[:, row] = np.nan
            self._from_us[row], self._until_us[row] = (NEVER_US, bounds[0]) if before else (bounds[-1], _FOR_EVER_US)
            return
        self._levels[:, row] = policy.levels[index]
        self._from_us[row], self._until_us[row] = bounds[index : index + 2]
