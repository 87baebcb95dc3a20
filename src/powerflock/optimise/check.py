"""An independent checker: given a problem and a plan, recompute all from first principles and list what is wrong.

Shares no formula with the solvers on purpose: energy balance, limits and the bill are written again from the problem's
statement. Cheap enough to run on every plan.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.errors import UnsoundPlan
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits

_BLOCK = 1_024
"""Homes checked at a time, so that the columns by interval in between stay small."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: the homes it concerns, by how much at worst in each of them, and in all."""

    rule: str
    homes: tuple[int, ...]
    excess: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest excess, in kW, kWh or a share of the cost; infinite where the plan is unknown (NaN)."""
        return max(self.excess)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a plan does, all passive kW: `battery_kw` (S, T), `device_kw` (N, T), `curtailed_kw` (S, T) ≥ 0.

    None where the problem has no devices, or nothing to curtail.
    """

    battery_kw: F64
    device_kw: F64 | None = None
    curtailed_kw: F64 | None = None


def schedule_cost(problems: SiteProblems, plan: F64 | Schedule) -> tuple[F64, F64]:
    """(S,) cost in $ and (S, T) energy in the home's own battery at the intervals' ends, of running `plan`.

    `plan` is (S, T) battery power where there is nothing else to decide.
    """
    plan = plan if isinstance(plan, Schedule) else Schedule(plan)
    cells, devices = problems.batteries, problems.devices
    net, stored = net_power(problems, plan), stored_kwh(cells, problems.stored_kwh, plan.battery_kw, problems.hours)
    buy = problems.import_per_kwh[problems.tariff] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[problems.tariff] + problems.coordination_per_kwh
    bill = (np.maximum(net, 0) * buy - np.maximum(-net, 0) * sell) * problems.hours
    wear = cells.wear_per_kwh * (np.abs(plan.battery_kw) * problems.hours).sum(axis=1)
    cost = bill.sum(axis=1) + wear - problems.terminal_per_kwh * stored[:, -1]
    if devices is not None and plan.device_kw is not None:
        left = stored_kwh(devices.batteries, devices.stored_kwh, plan.device_kw, problems.hours)[:, -1]
        wear = devices.batteries.wear_per_kwh * (np.abs(plan.device_kw) * problems.hours).sum(axis=1)
        np.add.at(cost, devices.home, wear - devices.terminal_per_kwh * left)
    return cost, stored


def net_power(problems: SiteProblems, plan: Schedule) -> F64:
    """(S, T) kW at the connection: load and solar, less what is switched off, with every storage."""
    net = problems.net_load_kw + plan.battery_kw
    if plan.curtailed_kw is not None:
        net = net + plan.curtailed_kw
    if problems.devices is not None and plan.device_kw is not None:
        np.add.at(net, problems.devices.home, plan.device_kw)
    return net


def stored_kwh(cells: Batteries, start_kwh: F64, power_kw: F64, hours: F64) -> F64:
    """(N, T) stored energy at the intervals' ends."""
    charge, discharge = np.maximum(power_kw, 0), np.maximum(-power_kw, 0)
    into = charge * cells.charge_efficiency_ratio[:, None] - discharge / cells.discharge_efficiency_ratio[:, None]
    return np.asarray(start_kwh[:, None] + np.cumsum(into * hours, axis=1))


def check_plan(problems: SiteProblems, plan: F64 | Schedule, cost: F64, tolerance: float = 1e-6) -> list[Finding]:
    """The rules that `plan` or its claimed `cost` (S,) breaks by over `tolerance`; empty when sound.

    `plan` is (S, T) battery power where there is nothing else to decide. `tolerance` is a share of the broken limit,
    of 1 kW, 1 kWh or 1 $ at least, so that rounding is not taken for a fault at large sites.
    """
    plan = plan if isinstance(plan, Schedule) else Schedule(plan)
    true_cost, stored = schedule_cost(problems, plan)
    net, limits = net_power(problems, plan), problems.limits or constant_limits(problems.batteries)
    excess = {
        "import limit": (net - limits.import_limit_kw, limits.import_limit_kw),
        "export limit": (-net - limits.export_limit_kw, limits.export_limit_kw),
        "cost": (np.abs(true_cost - cost)[:, None] / np.maximum(1.0, np.abs(cost))[:, None], np.ones((cost.size, 1))),
    }
    excess |= _storage_excess(problems.batteries, limits, plan.battery_kw, stored)
    if plan.curtailed_kw is not None:
        possible = np.zeros((cost.size, 1)) if problems.curtailable_kw is None else problems.curtailable_kw
        excess["curtailment"] = (np.maximum(plan.curtailed_kw - possible, -plan.curtailed_kw), possible)
    findings = _found(excess, None, tolerance)
    devices = problems.devices
    if devices is not None and devices.home.size:
        power = np.full((devices.home.size, problems.intervals), np.nan) if plan.device_kw is None else plan.device_kw
        cells, device_limits = devices.batteries, devices.limits or constant_limits(devices.batteries)
        left = stored_kwh(cells, devices.stored_kwh, power, problems.hours)
        rules = _storage_excess(cells, device_limits, power, left)
        findings += _found({f"device {rule}": amounts for rule, amounts in rules.items()}, devices.home, tolerance)
    return findings


def unsound_plans(
    problems: SiteProblems, plan: F64 | Schedule, cost: F64, known: Container[int]
) -> dict[int, UnsoundPlan]:  # fmt: skip
    """The homes whose plan breaks a rule, with the first that it breaks, but for those already `known` to have none."""
    plan = plan if isinstance(plan, Schedule) else Schedule(plan)
    found: dict[int, UnsoundPlan] = {}
    block = _BLOCK if problems.devices is None else max(problems.homes, 1)
    for first in range(0, problems.homes, block):
        rows = slice(first, min(first + block, problems.homes))
        dark = None if plan.curtailed_kw is None else plan.curtailed_kw[rows]
        part = Schedule(plan.battery_kw[rows], plan.device_kw, dark)
        for finding in check_plan(problems.rows(rows), part, cost[rows]):
            for row, excess in zip(finding.homes, finding.excess, strict=True):
                home = first + row
                if home not in known and home not in found:
                    found[home] = UnsoundPlan(f"home {home}: its plan breaks {finding.rule} by up to {excess:.3g}")
    return found


def constant_limits(cells: Batteries) -> VaryingLimits:
    """The limits of `cells` as (N, 1) columns, which hold in every interval."""
    return VaryingLimits(
        cells.charge_limit_kw[:, None], cells.discharge_limit_kw[:, None], cells.floor_kwh[:, None],
        cells.capacity_kwh[:, None], cells.import_limit_kw[:, None], cells.export_limit_kw[:, None],
    )  # fmt: skip


def _storage_excess(
    cells: Batteries, limits: VaryingLimits, power_kw: F64, stored: F64
) -> dict[str, tuple[F64, F64]]:  # fmt: skip
    """By how much each rule of a storage is broken, (N, T) or less, and the limit that it is about."""
    return {
        "charge limit": (power_kw - limits.charge_limit_kw, limits.charge_limit_kw),
        "discharge limit": (-power_kw - limits.discharge_limit_kw, limits.discharge_limit_kw),
        "reserve": (limits.floor_kwh - stored, limits.capacity_kwh),
        "capacity": (stored - limits.capacity_kwh, limits.capacity_kwh),
        "least charge": (np.minimum(power_kw, cells.least_charge_kw[:, None] - power_kw), limits.charge_limit_kw),
        "least discharge": (
            np.minimum(-power_kw, cells.least_discharge_kw[:, None] + power_kw), limits.discharge_limit_kw
        ),
    }  # fmt: skip


def _found(excess: dict[str, tuple[F64, F64]], home: np.ndarray | None, tolerance: float) -> list[Finding]:
    findings = []
    for rule, (amount, limit) in excess.items():
        worst = np.where(np.isnan(amount), np.inf, amount).max(axis=1, initial=-np.inf)
        bad = np.flatnonzero(worst > tolerance * np.maximum(1.0, limit.max(axis=1, initial=0.0)))
        if bad.size:
            owners, of = (bad, np.arange(bad.size)) if home is None else np.unique(home[bad], return_inverse=True)
            by_owner = np.zeros(owners.size)
            np.maximum.at(by_owner, of, worst[bad])
            findings.append(Finding(rule, tuple(owners.tolist()), tuple(by_owner.tolist())))
    return findings
