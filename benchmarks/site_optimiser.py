"""How long an exact day plan of a home takes, against HiGHS on the same linear programme; every optimum is compared."""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import highspy
import numpy as np

from benchmarks.highs_reference import build, optimal_cost, random_problems
from benchmarks.highs_reference import run as run_highs
from benchmarks.real_homes import folder, real_problems
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import solve

NAME = "site_optimiser"
SUMMARY = "a home's exact plan, value functions and policy, against HiGHS (one thread) on the same linear programme"

INTERVALS = (48, 96, 288)
ROWS, QUICK_HOMES = 400_000, 1_024
"""Homes × intervals of a batch: alike for long days and short ones."""
REFEREED, QUICK_REFEREED = 128, 32
FLEET, QUICK_FLEET = 1_000_000, 5_000
LIMIT_S = 10.0
RELATIVE = 1e-9


def run(*, quick: bool) -> list[Row]:
    """Rows: µs per home at 48, 96 and 288 intervals, random and real homes; then many homes on one and two threads."""
    refereed, runs = (QUICK_REFEREED, 3) if quick else (REFEREED, 7)
    data = folder()
    if data is None:
        sys.stderr.write(
            "site_optimiser: real homes are not measured; set POWERFLOCK_DATA to the folder of real data\n"
        )
    rows = []
    for intervals in INTERVALS:
        rows += compare("random homes", random_problems(1, _homes(intervals, quick=quick), intervals), refereed, runs)
    for intervals in INTERVALS if data is not None else ():
        assert data is not None
        rows += compare("real homes", real_problems(data, intervals, _homes(intervals, quick=quick)), refereed, runs)
    return rows + fleet(QUICK_FLEET if quick else FLEET, 3)


def _homes(intervals: int, *, quick: bool) -> int:
    return QUICK_HOMES if quick else ROWS // intervals


def compare(label: str, problems: SiteProblems, refereed: int, runs: int) -> list[Row]:
    """Mean µs per home of the whole batch, and of HiGHS on `refereed` of its homes: as it comes, tuned, with building.

    Each is the median of `runs`, in which all take turns; `RuntimeError` if an optimum differs by more than 1e-9.
    """
    chosen = np.linspace(0, problems.homes - 1, refereed).astype(np.int64).tolist()
    _check(problems, chosen)
    start = time.perf_counter()
    models = [build(problems, home) for home in chosen]
    build_us = (time.perf_counter() - start) / refereed * 1e6
    turns = [
        (_ours_us(problems), _highs_us(models, presolve="choose"), _highs_us(models, presolve="off"))
        for _ in range(runs)
    ]
    ours_us, theirs_us, tuned_us = (statistics.median(column) for column in zip(*turns, strict=True))
    metric = f"{label}, {problems.intervals} intervals"
    return [
        less_is_better(metric, ours_us, "µs/home", "HiGHS, solving only", theirs_us),
        less_is_better(metric, ours_us, "µs/home", "HiGHS without presolve, its best here, solving only", tuned_us),
        less_is_better(metric, ours_us, "µs/home", "HiGHS, building the model and solving", theirs_us + build_us),
    ]


def _check(problems: SiteProblems, chosen: list[int]) -> None:
    for home, cost in zip(chosen, solve(problems).cost[chosen].tolist(), strict=True):
        optimum = optimal_cost(problems, home)
        if abs(optimum - cost) > RELATIVE * max(1.0, abs(optimum)):
            raise RuntimeError(f"home {home}: HiGHS finds {optimum!r} where the site optimiser finds {cost!r}")


def _ours_us(problems: SiteProblems) -> float:
    start = time.perf_counter()
    solve(problems)
    return (time.perf_counter() - start) / problems.homes * 1e6


def _highs_us(models: list[highspy.Highs], *, presolve: str) -> float:
    """Mean µs per model, each solved from nothing."""
    seconds = 0.0
    for model in models:
        model.clearSolver()
        model.setOptionValue("presolve", presolve)
        start = time.perf_counter()
        run_highs(model)
        seconds += time.perf_counter() - start
    return seconds / len(models) * 1e6


def fleet(homes: int, runs: int) -> list[Row]:
    """How long `homes` take for a day of half-hours, on one thread and on two, which have ten seconds for a million."""
    problems = random_problems(2, homes, 48)
    one = median_s(lambda: solve(problems), runs)
    with ThreadPoolExecutor(2) as pool:
        two = median_s(lambda: solve(problems, mapper=pool.map), runs)
    metric, limit = f"{homes:,} homes, a day of half-hours", LIMIT_S * homes / 1_000_000
    return [
        Row(metric=f"{metric}, one thread", value=one, unit="s"),
        less_is_better(f"{metric}, two threads", two, "s", "one thread", one),
        less_is_better(f"{metric}, two threads", two, "s", "limit: 10 s for a million", limit),
    ]
