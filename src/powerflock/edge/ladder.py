"""What a home does by itself: a valid command first, else its policy until the horizon, else self-consumption.

Invariants: a policy is held only if it is whole, not over, bounded in time and from no earlier plant or plan than the
one before; it never has a say where a command is valid, and safety has the last word over both. For one home or
thousands, as columns. Must not know who made a policy, nor how it came.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F64, I64, U8, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import Policy, power_to_levels
from powerflock.edge.safety import NEVER_US, Refusal

MAX_POLICY_HORIZON_US = 48 * MICROS_PER_HOUR
"""Commissioning default: no policy may still hold this long after it arrives."""
_FOR_EVER_US = np.iinfo(np.int64).max


class Rung(IntEnum):
    """Where a home stands on the ladder; the lower number wins."""

    COMMAND = 0
    POLICY = 1
    SELF_CONSUMPTION = 2


def rungs(setpoint_kw: F64, policy_kw: F64) -> U8:
    """(S,) `Rung` of homes with these valid setpoints and policies' powers, NaN where there is none."""
    alone = np.where(np.isnan(policy_kw), Rung.SELF_CONSUMPTION, Rung.POLICY)
    return np.where(np.isnan(setpoint_kw), alone, Rung.COMMAND).astype(np.uint8)


class Policies:
    """The policies of S homes; levels are looked up once an interval, and only where they are asked for."""

    def __init__(self, homes: int) -> None:
        """No policy held, none ever seen."""
        self.epoch: I64 = np.full(homes, NEVER_US)
        self.held: Bools = np.zeros(homes, np.bool_)
        self._policies: list[Policy | None] = [None] * homes
        self._levels = np.full((4, homes), np.nan)
        self._ratios = np.ones((2, homes))
        self._from_us, self._until_us = np.full(homes, NEVER_US), np.full(homes, NEVER_US)

    def take(self, row: int, payload: bytes, epoch: int, now_us: int, least_epoch: int = NEVER_US) -> Refusal:
        """Hold the policy in `payload` for the home `row` from now on, or say why not; nothing is raised.

        `least_epoch` is the newest epoch that the home has heard of otherwise, from its commands.
        """
        try:
            policy = Policy.from_bytes(payload)
        except InvalidInput:
            return Refusal.MALFORMED
        before = self._policies[row]
        if policy.horizon_us <= now_us:
            return Refusal.EXPIRED
        if policy.horizon_us > now_us + MAX_POLICY_HORIZON_US:
            return Refusal.BEYOND_HORIZON
        if epoch < max(int(self.epoch[row]), least_epoch):
            return Refusal.OLDER_EPOCH
        if before is not None and epoch == self.epoch[row] and policy.bounds_us[0] < before.bounds_us[0]:
            return Refusal.REPLAYED
        self._policies[row], self.held[row], self.epoch[row] = policy, True, epoch
        self._ratios[:, row] = policy.charge_efficiency_ratio, policy.discharge_efficiency_ratio
        self._until_us[row] = NEVER_US
        return Refusal.ACCEPTED

    def power_kw(self, wanted: Bools, now_us: int, stored_kwh: F64, net_load_kw: F64, dt_us: int) -> F64:
        """(S,) battery power that the policies of the homes `wanted` (S,) want for `dt_us`; NaN where there is none.

        Reached at the interval's end, or after `dt_us` if that is later. No limits are applied.
        """
        rows = np.flatnonzero(wanted & self.held)
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
        assert policy is not None, "only homes that hold a policy are looked up"
        bounds, index = policy.bounds_us, policy.interval(now_us)
        if index is None:
            before = now_us < bounds[0]
            self._levels[:, row] = np.nan
            self._from_us[row], self._until_us[row] = (NEVER_US, bounds[0]) if before else (bounds[-1], _FOR_EVER_US)
            return
        self._levels[:, row] = policy.levels[index]
        self._from_us[row], self._until_us[row] = bounds[index : index + 2]
