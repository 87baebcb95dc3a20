"""The same home days through EMHASS's optimiser and through ours: what the plans cost, and how long they take.

EMHASS is given its best: `Optimization.perform_naive_mpc_optim` with cost function "profit", its solver HiGHS (the
only free one it selects) on one thread, the same efficiencies, power limits at the connection's side of the battery,
reserve, connection and cost of wear in each direction, and the same energy at the end as at the start as its final
state of charge. It is asked twice, to the exact optimum (gap 0) and with its own default gap of 1%, and its times are
those of the faster. Its model is mixed-integer (binaries for import or export and for charge or discharge); it keeps
it between calls, so there are its first call, with building, a later one, and within that HiGHS alone. Both plans are
costed by our checker's formulas: the bill, losses and wear of what the battery does. Home days are real where their
data is present, else random; a battery at each, and no coordination price.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks import peers
from benchmarks.real_homes import folder, real_problems
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.domain.arrays import F64
from powerflock.optimise.check import check_plan, schedule_cost
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits
from powerflock.optimise.site import solve
from powerflock.sim.catalogue import TARIFFS

if TYPE_CHECKING:
    from benchmarks.emhass_peer import Problem  # runs in EMHASS's environment alone

NAME = "emhass"
SUMMARY = "a home's day through EMHASS's optimiser (its own environment, made on demand) and ours: cost, time"

PEER = peers.Peer(
    "emhass", ("emhass==0.18.7", "cvxpy==1.7.5", "highspy==1.16.0", "numpy==2.2.6", "pandas==3.1.1"), "emhass_peer.py"
)
DAYS = {48: 32, 288: 12}
QUICK_DAYS = {48: 8, 288: 2}
RUNS, BATCH = 5, 1_024
EXACT, DEFAULT = 0.0, 0.01
RELATIVE, TOLERANCE = 1e-6, 1e-3
"""Ours may not cost more than this, of the cost; EMHASS's plans may break no limit by more kW or kWh."""


class Answer(msgspec.Struct, frozen=True):
    """EMHASS's plan, W positive discharging, and its times in seconds; see `emhass_peer`."""

    status: str
    battery_w: list[float] | None
    first: float
    again: float
    solver: float


def run(*, quick: bool) -> list[Row]:
    """Rows of costs and times at 30 and 5 minutes; only our times where EMHASS cannot be installed."""
    if folder() is None:
        sys.stderr.write("emhass: random homes, for POWERFLOCK_DATA does not lead to the folder of real data\n")
    rows = []
    for intervals, days in (QUICK_DAYS if quick else DAYS).items():
        problems = home_days(intervals, days)
        given = [as_asked(problems, home, gap) for gap in (EXACT, DEFAULT) for home in range(days)]
        answers = ask(given)
        rows += compare(problems, None if answers is None else (answers[:days], answers[days:]))
    return rows


def ask(problems: list[Problem]) -> list[Answer] | None:
    """EMHASS's answers, or None where it cannot be installed."""
    found = peers.ask(PEER, msgspec.json.encode(problems))
    return None if found is None else msgspec.json.decode(found, type=list[Answer])


def home_days(intervals: int, days: int) -> SiteProblems:
    """Home days of 24 hours that end with no less energy than they began with, on their own tariffs."""
    data = folder()
    plain = _random_days(intervals, days) if data is None else real_problems(data, intervals, days)
    floor = np.repeat(plain.batteries.floor_kwh[:, None], intervals, axis=1)
    floor[:, -1] = plain.stored_kwh
    return dataclasses.replace(
        plain, coordination_per_kwh=np.zeros(intervals), terminal_per_kwh=np.zeros(days),
        limits=VaryingLimits.of(plain.batteries, intervals, floor_kwh=floor),
    )  # fmt: skip


def _random_days(intervals: int, days: int) -> SiteProblems:
    rng, slots = np.random.default_rng(11), np.arange(intervals) * 48 // intervals
    sun = np.maximum(0.0, np.sin((slots - 12) / 24 * np.pi))
    load = rng.gamma(1.2, 0.8, (days, 48))[:, slots]
    limit = np.resize([5.0, 5.0, 3.3, 3.8], days)
    capacity = np.resize([13.5, 9.8, 6.5, 5.0], days)
    cells = Batteries.of(
        days, capacity_kwh=capacity, charge_limit_kw=limit, discharge_limit_kw=limit, floor_kwh=0.2 * capacity
    )
    return SiteProblems.of(
        cells, load - rng.uniform(0.0, 5.0, (days, 1)) * sun, hours=24.0 / intervals,
        import_per_kwh=np.array([tariff.import_per_kwh for tariff in TARIFFS])[:, slots],
        export_per_kwh=np.array([tariff.export_per_kwh for tariff in TARIFFS])[:, slots],
        tariff=np.arange(days) % len(TARIFFS), stored_kwh=0.5 * capacity,
    )  # fmt: skip


def as_asked(problems: SiteProblems, home: int, gap: float) -> Problem:
    """Home `home` of `problems` in EMHASS's units, to be solved to a relative gap of `gap`."""
    cell, row, net_w = problems.batteries, problems.tariff[home], problems.net_load_kw[home] * 1000.0
    start = float(problems.stored_kwh[home] / cell.capacity_kwh[home])
    return {
        "minutes": round(problems.hours[0] * 60), "load_w": np.maximum(net_w, 0).tolist(),
        "solar_w": np.maximum(-net_w, 0).tolist(), "buy": problems.import_per_kwh[row].tolist(),
        "sell": problems.export_per_kwh[row].tolist(), "charge_w": float(cell.charge_limit_kw[home]) * 1000.0,
        "discharge_w": float(cell.discharge_limit_kw[home]) * 1000.0,
        "capacity_wh": float(cell.capacity_kwh[home]) * 1000.0,
        "into": float(cell.charge_efficiency_ratio[home]), "out": float(cell.discharge_efficiency_ratio[home]),
        "wear": float(cell.wear_per_kwh[home]),
        "least": float(cell.floor_kwh[home] / cell.capacity_kwh[home]), "start": start, "end": start,
        "import_w": float(cell.import_limit_kw[home]) * 1000.0,
        "export_w": float(cell.export_limit_kw[home]) * 1000.0, "gap": gap, "runs": RUNS,
    }  # fmt: skip


def compare(problems: SiteProblems, answers: tuple[list[Answer], list[Answer]] | None) -> list[Row]:
    """Rows of one length of step: costs against the exact answers and those with the default gap; then times."""
    label = f"{problems.homes} {'random' if folder() is None else 'real'} home days, {problems.intervals} intervals"
    days = [problems.rows(slice(home, home + 1)) for home in range(problems.homes)]
    many = home_days(problems.intervals, BATCH)
    one_ms = statistics.mean(median_s(lambda day=day: solve(day), RUNS) for day in days) * 1000.0  # type: ignore[misc]
    each_ms = median_s(lambda: solve(many), RUNS) / BATCH * 1000.0
    one, each = f"{label}, one home a call", f"{label}, each of {BATCH} a call"
    if answers is None:
        return [Row(metric=one, value=one_ms, unit="ms/home"), Row(metric=each, value=each_ms, unit="ms/home")]
    ours = solve(problems).cost
    rows = []
    for setting, found in zip(("EMHASS, exact", "EMHASS, its default gap of 1%"), answers, strict=True):
        theirs = true_cost(problems, found)
        worst = int(np.argmax((ours - theirs) / np.maximum(1.0, np.abs(theirs))))
        if ours[worst] - theirs[worst] > RELATIVE * max(1.0, abs(theirs[worst])):
            raise RuntimeError(f"home {worst}: EMHASS plans it for {theirs[worst]!r}, ours for {ours[worst]!r}")
        rows.append(less_is_better(f"{label}, cost", float(ours.sum()), "$", setting, float(theirs.sum())))
    first, again, solver = (
        min(statistics.mean(getattr(answer, name) for answer in found) for found in answers) * 1000.0
        for name in ("first", "again", "solver")
    )
    return [
        *rows,
        less_is_better(one, one_ms, "ms/home", "EMHASS, building its model and solving", first),
        less_is_better(one, one_ms, "ms/home", "EMHASS, solving a model it has built", again),
        less_is_better(one, one_ms, "ms/home", "EMHASS, HiGHS alone", solver),
        less_is_better(each, each_ms, "ms/home", "EMHASS, solving a model it has built", again),
    ]


def true_cost(problems: SiteProblems, answers: list[Answer]) -> F64:
    """(S,) what EMHASS's plans really cost; `RuntimeError` where one is missing or breaks a limit."""
    for home, answer in enumerate(answers):
        if answer.battery_w is None:
            raise RuntimeError(f"home {home}: EMHASS has no plan: {answer.status}")
    power = -np.array([answer.battery_w for answer in answers]) / 1000.0
    cost, _ = schedule_cost(problems, power)
    findings = check_plan(problems, power, cost, TOLERANCE)
    if findings:
        raise RuntimeError(f"EMHASS's plans break limits: {findings}")
    return cost
