"""The end of a coordination: every home's plan from its point, and the reserve that the plan can really hold.

Must not know prices or groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64
from powerflock.optimise.interior_point.blocks import Block
from powerflock.optimise.interior_point.boxes import CAPACITY, CHARGE, DISCHARGE, EXPORT, FLOOR, IMPORT, NET
from powerflock.optimise.interior_point.repair import reach, repair
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Plans of S homes: `cost` (S,) $, `battery_kw`, `curtailed_kw`, `net_kw` (S, T), `device_kw` (N, T).

    `held_kw` (2, S, T) raise and lower as the method wants them, and `most_kw` (2, S, T) as the plans could hold.
    `excess` (S,) kW or kWh by which a plan breaks a limit.
    """

    cost: F64
    battery_kw: F64
    device_kw: F64
    curtailed_kw: F64
    net_kw: F64
    held_kw: F64
    most_kw: F64
    excess: F64

    @staticmethod
    def empty(problems: SiteProblems) -> FleetPlan:
        """Room for the plans of `problems`."""
        homes, steps = problems.homes, problems.intervals
        devices = 0 if problems.devices is None else problems.devices.home.size
        table = (homes, steps)
        return FleetPlan(
            np.zeros(homes), np.zeros(table), np.zeros((devices, steps)), np.zeros(table), np.zeros(table),
            np.zeros((2, *table)), np.zeros((2, *table)), np.zeros(homes),
        )  # fmt: skip


def settle(problems: SiteProblems, blocks: Sequence[Block], mapper: Mapper) -> FleetPlan:
    """Plans that the homes of `blocks` can follow, nearest to their points."""
    plan = FleetPlan.empty(problems)

    def settle_block(block: Block) -> None:
        of = block.bucket
        count, storages, _, steps = of.cells.shape
        power, curtailed, excess = np.zeros((count, storages, steps)), np.zeros((count, steps)), np.zeros(count)
        held, most = np.zeros((2, count, steps)), np.zeros((2, count, steps))
        _settle(block.homes, block.channels, block.duration, block.state[0], power, curtailed, excess, held, most)
        plan.cost[of.homes], plan.excess[of.homes] = of.cost(power, curtailed), excess
        plan.curtailed_kw[of.homes], plan.net_kw[of.homes] = curtailed, of.site[:, 0] + power.sum(axis=1) + curtailed
        plan.held_kw[:, of.homes], plan.most_kw[:, of.homes] = held, most
        mine, slot = np.nonzero(of.storages >= 0)
        rows = of.storages[mine, slot]
        own = rows < problems.homes
        plan.battery_kw[rows[own]] = power[mine[own], slot[own]]
        plan.device_kw[rows[~own] - problems.homes] = power[mine[~own], slot[~own]]

    for _ in mapper(settle_block, blocks):
        pass
    return plan


@kernel
def _settle(
    homes: tuple[F64, F64, F64, F64, F64], channels: int, duration: float, point: F64, power: F64, curtailed: F64,
    excess: F64, held: F64, most: F64,
) -> None:  # fmt: skip
    hours, site, cells, rates, stored = homes
    storages = rates.shape[1]
    tube, now = np.empty((2, storages, hours.size)), np.empty((4, storages))
    for home in range(site.shape[0]):
        own = (hours, site[home], cells[home], rates[home], stored[home])
        missed = reach(hours, cells[home], rates[home], stored[home], tube)
        excess[home] = max(missed, repair(*own, point[home, 0], tube, now, power[home], curtailed[home]))
        for r in range(channels - 1):
            sign = 1.0 - 2.0 * r
            for d in range(storages):
                now[0, d] = stored[home, d]
            for t in range(hours.size):
                total = head = stock = 0.0
                for d in range(storages):
                    p = power[home, d, t]
                    total, head = total + p, head + cells[home, d, DISCHARGE if r == 0 else CHARGE, t]
                    now[0, d] += hours[t] * (p * rates[home, d, 0] if p > 0.0 else p / rates[home, d, 1])
                    if r == 0:
                        stock += (now[0, d] - cells[home, d, FLOOR, t]) * rates[home, d, 1]
                    else:
                        stock += (cells[home, d, CAPACITY, t] - now[0, d]) / rates[home, d, 0]
                line = site[home, EXPORT if r == 0 else IMPORT, t]
                line += sign * (site[home, NET, t] + total + curtailed[home, t])
                can = min(head + sign * total, line)
                if duration > 0.0:
                    can = min(can, stock / duration)
                most[r, home, t] = max(0.0, can)
                held[r, home, t] = min(max(0.0, can), max(0.0, point[home, 0, t, 3 * storages + 3 + 4 * r]))
