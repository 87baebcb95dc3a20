"""Policies for the edges: what each home goes on with when it hears nothing any more.

Made from W, the plan for the owner alone: nobody can pay a home for following the fleet's price while its readings are
missing, so out of reach it spends nothing on the fleet. On half-hours: tariffs and forecasts have no finer steps, and
the levels of a day then fit in some 200 bytes. Must not know how policies are sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from powerflock.domain.arrays import I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.policy import Basis
from powerflock.optimise.policy import policy_payloads, solve_levels
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper, convexified, solve_each

_STEP_US = MICROS_PER_HOUR // 2
_BLOCK = 512
"""Homes whose policies are written at once."""


@dataclass(frozen=True, slots=True)
class PolicyBatch:
    """A partition's newest policies: `payloads[i]`, good until `until_us`, is for the site in row `rows[i]`."""

    epoch: int
    until_us: int
    rows: list[int]
    payloads: list[bytes]


def policy_batch(problems: SiteProblems, homes: I64, start_us: int, epoch: int, mapper: Mapper) -> PolicyBatch:
    """Policies for `homes`, from `start_us` on for a day at most; `problems` are the owners' alone.

    Homes that cannot be planned on half-hours get none. Where an export price is too negative to be convex it is
    raised, as in every plan.
    """
    coarse = convexified(half_hourly(problems.pick(homes), start_us))
    planned = np.setdiff1d(np.arange(homes.size), list(solve_each(coarse, 0, mapper).errors))
    coarse, homes = coarse.pick(planned), homes[planned]
    begins_us = start_us + np.rint((np.cumsum(coarse.hours) - coarse.hours) * MICROS_PER_HOUR).astype(np.int64)
    kept = int((begins_us < start_us + MICROS_PER_DAY).sum())
    levels = solve_levels(coarse, mapper)[:, :kept]
    payloads, until_us = list[bytes](), start_us
    for first in range(0, homes.size, _BLOCK):
        block = slice(first, min(first + _BLOCK, homes.size))
        made, until_us = policy_payloads(coarse.rows(block), levels[block], start_us, Basis.OWNER)
        payloads += made
    return PolicyBatch(epoch, until_us, homes.tolist(), payloads)


def half_hourly(problems: SiteProblems, start_us: int) -> SiteProblems:
    """The same problems on UTC half-hours, the first and last of which may be cut: mean loads and prices."""
    ends_us = start_us + np.rint(np.cumsum(problems.hours) * MICROS_PER_HOUR).astype(np.int64)
    slot = np.concatenate([[start_us], ends_us[:-1]]) // _STEP_US
    first: I64 = np.flatnonzero(np.diff(slot, prepend=-1))
    hours = np.add.reduceat(problems.hours, first)
    return replace(
        problems,
        hours=hours,
        net_load_kw=np.add.reduceat(problems.net_load_kw * problems.hours, first, axis=1) / hours,
        import_per_kwh=np.add.reduceat(problems.import_per_kwh * problems.hours, first, axis=1) / hours,
        export_per_kwh=np.add.reduceat(problems.export_per_kwh * problems.hours, first, axis=1) / hours,
        coordination_per_kwh=np.add.reduceat(problems.coordination_per_kwh * problems.hours, first) / hours,
    )
