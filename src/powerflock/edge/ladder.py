"""What a home does by itself: a valid command first, else its policy until the horizon, else self-consumption.

Invariants: a policy is held only if it is whole, not over, bounded in time and from no earlier plant or plan than the
one before; it never has a say where a command is valid, and safety has the last word over both. For one home or
thousands, as columns. Must not know who made a policy, nor how it came.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F64, I64, U8
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import Policy
from powerflock.domain.policy_columns import PolicyColumns
from powerflock.edge.safety import NEVER_US, Refusal

MAX_POLICY_HORIZON_US = 48 * MICROS_PER_HOUR
"""Commissioning default: no policy may still hold this long after it arrives."""


class Rung(IntEnum):
    """Where a home stands on the ladder; the lower number wins."""

    COMMAND = 0
    POLICY = 1
    SELF_CONSUMPTION = 2


def rungs(setpoint_kw: F64, policy_kw: F64) -> U8:
    """(S,) `Rung` of homes with these valid setpoints and policies' powers, NaN where there is none."""
    alone = np.where(np.isnan(policy_kw), Rung.SELF_CONSUMPTION, Rung.POLICY)
    return np.where(np.isnan(setpoint_kw), alone, Rung.COMMAND).astype(np.uint8)


class Policies(PolicyColumns):
    """The policies of S homes, and which may be held."""

    def __init__(self, homes: int) -> None:
        """No policy held, none ever seen."""
        super().__init__(homes)
        self.epoch: I64 = np.full(homes, NEVER_US)

    def take(self, row: int, payload: bytes, epoch: int, now_us: int, least_epoch: int = NEVER_US) -> Refusal:
        """Hold the policy in `payload` for the home `row` from now on, or say why not; nothing is raised.

        `least_epoch` is the newest epoch that the home has heard of otherwise, from its commands.
        """
        try:
            policy = Policy.from_bytes(payload)
        except InvalidInput:
            return Refusal.MALFORMED
        before = self.policy(row)
        if policy.horizon_us <= now_us:
            return Refusal.EXPIRED
        if policy.horizon_us > now_us + MAX_POLICY_HORIZON_US:
            return Refusal.BEYOND_HORIZON
        if epoch < max(int(self.epoch[row]), least_epoch):
            return Refusal.OLDER_EPOCH
        if before is not None and epoch == self.epoch[row] and policy.bounds_us[0] < before.bounds_us[0]:
            return Refusal.REPLAYED
        self.hold(row, policy)
        self.epoch[row] = epoch
        return Refusal.ACCEPTED
