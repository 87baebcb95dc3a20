"""Benchmark `peak`: demand charges planned exactly, against HiGHS, and shaved at the edge, against perfect foresight.

Both on real commercial sites (see `peak_sites` for tariff and batteries); where their file is absent the plans are of
random sites and the closed loop is left out.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time

import numpy as np

from benchmarks.highs_reference import random_problems
from benchmarks.highs_reference import run as run_highs
from benchmarks.peak_reference import build_peak, optimal_peak_cost, real_sites, sites_file
from benchmarks.peak_sites import Case, case, fixed, month, perfect, shaved
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.domain.arrays import F64
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.peak import plan_peaks
from powerflock.optimise.problem import SiteProblems

NAME = "peak"
SUMMARY = "a month's exact plan under demand charges, against HiGHS; closed loop at the edge, against perfect foresight"

INTERVALS = 1_488
HOMES = 8
REFEREED, QUICK_REFEREED = 8, 3
STORAGE_HOURS = 4.0
RELATIVE = 1e-6
PER_KW = 12.0


def run(*, quick: bool) -> list[Row]:
    """Rows: ms a site for a month with one charge and with two; demand charges of each participant and of all."""
    refereed, runs = (QUICK_REFEREED, 3) if quick else (REFEREED, 7)
    file = sites_file()
    if not file.is_file():
        sys.stderr.write("peak: random sites, no closed loop; set POWERFLOCK_DATA to the folder of real data\n")
        return plans("random sites", random_problems(1, HOMES, INTERVALS), refereed, runs)
    sites = case(real_sites(file), STORAGE_HOURS)
    problems = month(sites, INTERVALS)
    others = {
        "all, batteries of half the energy": case(real_sites(file), STORAGE_HOURS / 2),
        "all, import that counts at any time": dataclasses.replace(sites, counts=np.ones_like(sites.counts)),
    }
    return plans("real sites", problems, refereed, runs) + closed_loop(sites, others)


def plans(label: str, problems: SiteProblems, refereed: int, runs: int) -> list[Row]:
    """Mean ms a site, planned together, against HiGHS solving the linear programme with the peak as a variable."""
    half_hour = np.arange(problems.intervals) % 48
    evening = (np.arange(problems.intervals) // 48 % 7 < 5) & (half_hour >= 28) & (half_hour < 40)
    both = np.stack([np.ones(problems.intervals), evening])
    charges = {
        "a charge on evenings": DemandCharges.of(problems, per_kw=PER_KW, counts=evening),
        "a charge at any time": DemandCharges.of(problems, per_kw=PER_KW),
        "a charge at any time and one on evenings": DemandCharges.of(problems, per_kw=[[4.0], [8.0]], counts=both),
    }
    return [
        _plan_row(f"{label}, {problems.intervals} intervals, {name}", problems, some, refereed, runs)
        for name, some in charges.items()
    ]


def _plan_row(metric: str, problems: SiteProblems, charges: DemandCharges, refereed: int, runs: int) -> Row:
    found = plan_peaks(problems, charges).cost[:refereed].tolist()
    for home, cost in enumerate(found):
        optimum = optimal_peak_cost(problems, charges, home)
        if abs(optimum - cost) > RELATIVE * max(1.0, abs(optimum)):
            raise RuntimeError(f"site {home}: HiGHS finds {optimum!r} where the peak search finds {cost!r}")
    ours_ms = median_s(lambda: plan_peaks(problems, charges), runs) / problems.homes * 1e3
    seconds = []
    for home in range(refereed):
        model = build_peak(problems, charges, home)
        start = time.perf_counter()
        run_highs(model)
        seconds.append(time.perf_counter() - start)
    return less_is_better(metric, ours_ms, "ms/site", "HiGHS, solving only", statistics.mean(seconds) * 1e3)


def closed_loop(sites: Case, others: dict[str, Case]) -> list[Row]:
    """Demand charges over perfect foresight's with the same battery, and what is simpler over it too."""
    best, bare, naive = perfect(sites), sites.bill(sites.net_load_kw), sites.bill(fixed(sites).import_kw)
    start = time.perf_counter()
    ours = sites.bill(shaved(sites).import_kw)
    seconds = time.perf_counter() - start
    before = sites.bill(shaved(sites, metered=False).import_kw)
    rows = [
        _cost_row(f"participant {home + 1}, closed loop", ours[[home]], best[[home]], "fixed level", naive[[home]])
        for home in range(best.size)
    ]
    rows += [
        _cost_row("all participants, closed loop", ours, best, "fixed level", naive),
        _cost_row("all participants, closed loop", ours, best, "no battery", bare),
        _cost_row("all, the level set before each half hour is metered", before, best, "no battery", bare),
        *(_whole_row(name, other) for name, other in others.items()),
    ]
    saved = float((bare - ours).sum() / (bare - best).sum())
    decisions = int((sites.counts & (sites.period >= 0)).sum()) * best.size
    return [
        *rows,
        Row(metric="all, closed loop's share of the saving that perfect foresight makes", value=saved, unit="1"),
        Row(metric="closed loop, each half hour that counts", value=seconds / decisions * 1e6, unit="µs"),
    ]


def _whole_row(metric: str, sites: Case) -> Row:
    ours, bare = sites.bill(shaved(sites).import_kw), sites.bill(sites.net_load_kw)
    return _cost_row(metric, ours, perfect(sites), "no battery", bare)


def _cost_row(metric: str, ours: F64, best: F64, against: str, theirs: F64) -> Row:
    """Demand charges over perfect foresight's, of all the sites given together."""
    foresight = float(best.sum())
    metric = f"{metric}, demand charges"
    return less_is_better(metric, float(ours.sum()) / foresight, "× perfect", against, float(theirs.sum()) / foresight)
