"""Several storages that couple at one connection: an interior-point method per home, with a proven gap.

A home's linear programme is solved to near its optimum, the point is made a plan that can be followed, and the plan's
cost is compared with a lower bound that holds whatever went wrong before. Where charging and discharging at once would
pay (prices so negative that losses do), or selling is dearer than buying, the plan is still feasible and its gap says
how much a better one could save at most. Must not know why the homes are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64
from powerflock.optimise.faults import faults
from powerflock.optimise.interior_point.buckets import Bucket, buckets
from powerflock.optimise.interior_point.mehrotra import IMPOSSIBLE, SOLVED, STALLED, Work, room, solve_alone
from powerflock.optimise.interior_point.repair import reach, repair
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper

_ITERATIONS = 100
_EXCESS = 1e-7
"""kW or kWh that a plan may miss a limit by: rounding."""


@dataclass(frozen=True, slots=True)
class CoupledPlans:
    """Plans of H homes: `cost` (H,) $, at most `gap` (H,) $ above the least possible, `iterations` (H,) int32.

    `battery_kw` and `curtailed_kw` (H, T); `device_kw` (N, T) for *all* devices, 0 at other homes. `status` (H,) is
    `SOLVED`, `IMPOSSIBLE` (proven to have no plan) or `STALLED`: there may be a plan, with the gap that it says. A home
    without plan has infinite cost and gap, and NaN powers.
    """

    homes: I64
    cost: F64
    gap: F64
    battery_kw: F64
    device_kw: F64
    curtailed_kw: F64
    status: I32
    iterations: I32


def solve_coupled(
    problems: SiteProblems, homes: I64 | None = None, mapper: Mapper = map, tolerance: float = 1e-8, block: int = 64
) -> CoupledPlans:
    """Plans for the homes in `homes` (H,) (None: all), with any number of storages, solved independently.

    `tolerance` is the gap at which to stop, as a share of the cost (of 1 $ at least). Raises `InvalidInput` for bad
    columns of these homes; one without plan costs the others nothing. Least powers are not kept: they are not convex.
    """
    homes = np.arange(problems.homes) if homes is None else homes
    for home, error in sorted(faults(problems).items()):
        if home in homes:
            raise error
    shape, devices = (homes.size, problems.intervals), problems.devices
    plans = CoupledPlans(
        homes, np.full(homes.size, np.inf), np.full(homes.size, np.inf), np.zeros(shape),
        np.zeros((0 if devices is None else devices.home.size, problems.intervals)), np.zeros(shape),
        np.zeros(homes.size, np.int32), np.zeros(homes.size, np.int32),
    )  # fmt: skip
    place = np.full(problems.homes, -1)
    place[homes] = np.arange(homes.size)

    def solve_part(part: Bucket) -> None:
        power = _solve_part(part, place[part.homes], plans, tolerance)
        mine, slot = np.nonzero(part.storages >= 0)
        rows = part.storages[mine, slot]
        own = rows < problems.homes
        plans.battery_kw[place[rows[own]]] = power[mine[own], slot[own]]
        plans.device_kw[rows[~own] - problems.homes] = power[mine[~own], slot[~own]]

    parts = [
        bucket.rows(slice(start, start + block))
        for bucket in buckets(problems, homes)
        for start in range(0, bucket.homes.size, block)
    ]
    for _ in mapper(solve_part, parts):
        pass
    plans.battery_kw[np.isinf(plans.cost)] = np.nan
    return plans


def _solve_part(part: Bucket, rows: I64, plans: CoupledPlans, tolerance: float) -> F64:
    """Solve one block of homes, write all but powers to `rows` of `plans`, return the powers (N, D, T)."""
    count, storages, _, steps = part.cells.shape
    bound, excess = np.empty(count), np.empty(count)
    status, iterations = np.empty(count, np.int32), np.empty(count, np.int32)
    power, curtailed = np.zeros((count, storages, steps)), np.zeros((count, steps))
    _solve_block(
        part.hours, part.site, part.cells, part.rates, part.stored_kwh, tolerance, _ITERATIONS,
        room(steps, storages, 1), bound, excess, status, iterations, power, curtailed,
    )  # fmt: skip
    cost = part.cost(power, curtailed)
    none = (excess > _EXCESS) | (status == IMPOSSIBLE)
    status[none & (status == SOLVED)] = STALLED
    cost[none], power[none] = np.inf, np.nan
    gap = np.where(none, np.inf, np.maximum(cost - np.where(none, 0.0, bound) - part.constant, 0.0))
    plans.cost[rows], plans.gap[rows], plans.curtailed_kw[rows] = cost, gap, curtailed
    plans.status[rows], plans.iterations[rows] = status, iterations
    return power


@kernel
def _solve_block(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, tolerance: float, most: int,
    work: Work, bound: F64, excess: F64, status: I32, iterations: I32, power: F64, curtailed: F64,
) -> None:  # fmt: skip
    tube, now = np.empty((2, rates.shape[1], hours.size)), np.empty((4, rates.shape[1]))
    for home in range(site.shape[0]):
        own = (hours, site[home], cells[home], rates[home], stored[home])
        if reach(hours, cells[home], rates[home], stored[home], tube) > 1e-7:
            status[home], iterations[home], bound[home], excess[home] = IMPOSSIBLE, 0, np.inf, np.inf
            continue
        status[home], iterations[home], bound[home] = solve_alone(*own, tolerance, most, work)
        excess[home] = repair(*own, work[0][0], tube, now, power[home], curtailed[home])
