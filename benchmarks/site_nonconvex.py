"""How long the exact plan of a home takes that is not convex, against HiGHS on the same mixed-integer programme.

Every home that HiGHS solves is compared with it: one that it does not finish must lie within the bounds it has proven.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from pathlib import Path

import highspy
import numpy as np
import pyarrow.parquet as pq

from benchmarks.highs_reference import random_problems
from benchmarks.milp_reference import build, tighten
from benchmarks.real_homes import PRICES, folder
from benchmarks.rows import Row, less_is_better
from powerflock.domain.arrays import F64
from powerflock.optimise.envelope import solve_envelope
from powerflock.optimise.problem import SiteProblems

NAME = "site_nonconvex"
SUMMARY = "a home's exact plan where it is not convex, against HiGHS (one thread) on the same mixed-integer programme"

INTERVALS, QUICK_INTERVALS = (48, 96, 288), (48, 96)
HOMES, QUICK_HOMES = 512, 128
REFEREED = {48: 32, 96: 24, 288: 8}
QUICK_REFEREED = 8
PATIENCE_S, QUICK_PATIENCE_S = 30.0, 3.0
RELATIVE = 1e-7


def run(*, quick: bool) -> list[Row]:
    """Rows: µs per home for each case and number of intervals, HiGHS solving only, and building the model too."""
    homes, runs, patience_s = (QUICK_HOMES, 3, QUICK_PATIENCE_S) if quick else (HOMES, 7, PATIENCE_S)
    data = folder()
    if data is None:
        sys.stderr.write("site_nonconvex: prices are made up; set POWERFLOCK_DATA to the folder of real data\n")
    spot_name = "random negative prices" if data is None else "Victoria's longest negative day"
    rows = []
    for intervals in QUICK_INTERVALS if quick else INTERVALS:
        refereed = QUICK_REFEREED if quick else REFEREED[intervals]
        for name, problems in (
            ("export above import price", export_above_import(homes, intervals)),
            (f"{spot_name} with losses", negative_prices(homes, intervals, spot(data, intervals))),
            ("least power", least_power(homes, intervals)),
        ):
            rows += compare(f"{name}, {intervals} intervals", problems, refereed, runs, patience_s)
    return rows


def compare(metric: str, problems: SiteProblems, refereed: int, runs: int, patience_s: float) -> list[Row]:
    """Mean µs per home of the whole batch, the median of `runs`, and of HiGHS on `refereed` of its homes.

    A home that HiGHS leaves after `patience_s` counts as if it had then finished. `RuntimeError` if a cost is wrong.
    """
    costs, seconds = solve_envelope(problems).cost, []
    for _ in range(runs):
        start = time.perf_counter()
        solve_envelope(problems)
        seconds.append(time.perf_counter() - start)
    ours_us = statistics.median(seconds) / problems.homes * 1e6
    solving_s, building_s, left = 0.0, 0.0, 0
    chosen = np.linspace(0, problems.homes - 1, refereed).astype(np.int64).tolist()
    for home in chosen:
        start = time.perf_counter()
        model = build(problems, home)
        tighten(model)
        model.setOptionValue("time_limit", patience_s)
        built = time.perf_counter()
        model.run()
        building_s, solving_s = building_s + built - start, solving_s + time.perf_counter() - built
        left += 1 - _agrees(model, home, float(costs[home]))
    theirs_us, with_building_us = solving_s / refereed * 1e6, (building_s + solving_s) / refereed * 1e6
    note = f", {left} of {refereed} left after {patience_s:.0f} s" if left else ""
    return [
        less_is_better(metric, ours_us, "µs/home", f"HiGHS, solving only{note}", theirs_us),
        less_is_better(metric, ours_us, "µs/home", f"HiGHS, building the model and solving{note}", with_building_us),
    ]


def _agrees(model: highspy.Highs, home: int, cost: float) -> bool:
    """Whether HiGHS finished, with this cost; `RuntimeError` where what it has proven says that the cost is wrong."""
    found, info = model.getModelStatus(), model.getInfo()
    finished = found == highspy.HighsModelStatus.kOptimal
    if not finished and found != highspy.HighsModelStatus.kTimeLimit:
        raise RuntimeError(f"home {home}: HiGHS found no optimum: {found}")
    best, slack = info.objective_function_value, RELATIVE * max(1.0, abs(cost))
    least = best if finished else info.mip_dual_bound
    if not least - slack <= cost <= best + slack:
        raise RuntimeError(f"home {home}: HiGHS finds {least!r} to {best!r} where the site optimiser finds {cost!r}")
    return finished


def export_above_import(homes: int, intervals: int) -> SiteProblems:
    """Random homes on tariffs that half of the time pay more for what is exported than what is bought costs."""
    problems, rng = _day(random_problems(1, homes, intervals)), np.random.default_rng(1)
    premium = rng.choice([-0.1, -0.05, 0.05, 0.2], problems.import_per_kwh.shape)
    return dataclasses.replace(problems, export_per_kwh=problems.import_per_kwh + premium)


def negative_prices(homes: int, intervals: int, spot_per_kwh: F64) -> SiteProblems:
    """Random homes that pay and are paid the spot price, with network charges on what they buy: losses may pay."""
    problems = _day(random_problems(2, homes, intervals))
    network = np.array([[0.0], [0.02], [0.05]])
    return dataclasses.replace(
        problems,
        import_per_kwh=spot_per_kwh + network,
        export_per_kwh=np.tile(spot_per_kwh, (3, 1)),
        coordination_per_kwh=np.zeros(intervals),
        batteries=dataclasses.replace(problems.batteries, wear_per_kwh=np.zeros(homes)),
    )


def least_power(homes: int, intervals: int) -> SiteProblems:
    """Random homes whose batteries run at a fifth to a half of their power, or not at all."""
    problems, share = _day(random_problems(3, homes, intervals)), np.random.default_rng(3).uniform(0.2, 0.5, homes)
    cells = problems.batteries
    least = {"least_charge_kw": share * cells.charge_limit_kw, "least_discharge_kw": share * cells.discharge_limit_kw}
    return dataclasses.replace(problems, batteries=dataclasses.replace(cells, **least))


def _day(problems: SiteProblems) -> SiteProblems:
    return dataclasses.replace(problems, hours=np.full(problems.intervals, 24.0 / problems.intervals))


def spot(data: Path | None, intervals: int) -> F64:
    """(intervals,) $/kWh on the day when Victoria's price was below zero the longest; made up without the data."""
    if data is None:
        return np.random.default_rng(4).normal(-0.02, 0.1, intervals)
    days = pq.read_table(data / PRICES)["RRP"].to_numpy().reshape(-1, 288) / 1000.0
    return np.asarray(days[(days < 0).sum(axis=1).argmax()].reshape(intervals, -1).mean(axis=1), np.float64)
