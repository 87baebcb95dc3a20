"""An independent checker: given a problem and a plan, recompute all from first principles and list what is wrong.

Shares no formula with the solver on purpose: energy balance, limits and the bill are written again from the problem's
statement. Cheap enough to run on every plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.optimise.problem import SiteProblems


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: the homes it concerns and by how much at worst."""

    rule: str
    homes: tuple[int, ...]
    worst: float


def schedule_cost(problems: SiteProblems, battery_kw: F64) -> tuple[F64, F64]:
    """(S,) cost in $ and (S, T) stored kWh at the intervals' ends, of running the batteries at `battery_kw` (S, T)."""
    cells = problems.batteries
    charge, discharge = np.maximum(battery_kw, 0), np.maximum(-battery_kw, 0)
    into = charge * cells.charge_efficiency_ratio[:, None] - discharge / cells.discharge_efficiency_ratio[:, None]
    stored = problems.stored_kwh[:, None] + np.cumsum(into * problems.hours, axis=1)
    net = problems.net_load_kw + battery_kw
    buy = problems.import_per_kwh[problems.tariff] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[problems.tariff] + problems.coordination_per_kwh
    bill = (np.maximum(net, 0) * buy - np.maximum(-net, 0) * sell) * problems.hours
    wear = cells.wear_per_kwh[:, None] * (charge + discharge) * problems.hours
    return bill.sum(axis=1) + wear.sum(axis=1) - problems.terminal_per_kwh * stored[:, -1], stored


def check_plan(problems: SiteProblems, battery_kw: F64, cost: F64, tolerance: float = 1e-6) -> list[Finding]:
    """The rules that `battery_kw` (S, T) or its claimed `cost` (S,) breaks by over `tolerance`; empty when sound."""
    cells = problems.batteries
    true_cost, stored = schedule_cost(problems, battery_kw)
    net = problems.net_load_kw + battery_kw
    excess = {
        "charge limit": battery_kw - cells.charge_limit_kw[:, None],
        "discharge limit": -battery_kw - cells.discharge_limit_kw[:, None],
        "reserve": cells.floor_kwh[:, None] - stored,
        "capacity": stored - cells.capacity_kwh[:, None],
        "import limit": net - cells.import_limit_kw[:, None],
        "export limit": -net - cells.export_limit_kw[:, None],
        "cost": np.abs(true_cost - cost)[:, None] / np.maximum(1.0, np.abs(cost))[:, None],
    }
    findings = []
    for rule, amount in excess.items():
        worst = np.where(np.isnan(amount), np.inf, amount).max(axis=1)
        bad = np.flatnonzero(worst > tolerance)
        if bad.size:
            findings.append(Finding(rule, tuple(int(home) for home in bad), float(worst.max())))
    return findings
