"""How long a fleet's coordination takes, with feeders' limits and a shared reserve, against one central programme.

Homes' days are real ones where the data is there. Every cost is compared with HiGHS's optimum where HiGHS can solve it,
and every coordination proves its own gap. A re-coordination starts from the prices of another forecast of the same day.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import highspy
import numpy as np

from benchmarks.central_reference import build
from benchmarks.highs_reference import random_problems
from benchmarks.highs_reference import run as run_highs
from benchmarks.real_homes import folder, real_problems
from benchmarks.rows import Row, less_is_better
from powerflock.domain.arrays import F64
from powerflock.optimise.asks import Groups, Reserve
from powerflock.optimise.fleet import Coordination, coordinate
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper, solve

NAME = "fleet"
SUMMARY = "homes coordinated within feeders' limits and with a reserve, against HiGHS on one central programme"

INTERVALS = 48
REFEREED, QUICK_REFEREED = (20, 100, 400), (20, 100)
FLEETS, QUICK_FLEETS = (1_000, 10_000, 100_000), (1_000,)
FEEDER_HOMES, PENALTY = 100, 1.0
TOLERANCE, RELATIVE = 1e-3, 1e-3
"""What is asked for; and within this share of the optimum, or the benchmark fails."""


def run(*, quick: bool) -> list[Row]:
    """Rows: seconds and gaps at each size, on two threads; HiGHS on one."""
    rows = []
    with ThreadPoolExecutor(2) as pool:
        coordinate_case(fleet_case(QUICK_FLEETS[0]), pool.map)  # compiles
        for homes in QUICK_REFEREED if quick else REFEREED:
            rows += compare(homes, pool.map)
        for homes in QUICK_FLEETS if quick else FLEETS:
            rows += measure(homes, pool.map)
    return rows


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What is asked of a fleet."""

    problems: SiteProblems
    groups: Groups
    reserve: Reserve


def fleet_case(homes: int) -> Case:
    """Feeders of 100 homes at 0.9 of what homes would do alone, 0.15 of all power in reserve for half an hour."""
    data = folder()
    problems = random_problems(5, homes, INTERVALS) if data is None else real_problems(data, INTERVALS, homes)
    feeders = max(5, homes // FEEDER_HOMES)
    group = (1 + np.arange(homes) % feeders).astype(np.int32)
    net = np.zeros((feeders + 1, INTERVALS))
    np.add.at(net, group, problems.net_load_kw + solve(problems).battery_kw)
    ways = [
        np.repeat(0.9 * np.maximum(way * net, 1.0).max(axis=1, keepdims=True), INTERVALS, axis=1) for way in (1, -1)
    ]
    for limits in ways:
        limits[0] = np.inf
    parent = np.concatenate([[-1], np.zeros(feeders)]).astype(np.int32)
    most = float(problems.batteries.discharge_limit_kw.sum())
    reserve = Reserve(np.full(INTERVALS, 0.15 * most), np.zeros(INTERVALS), 0.5)
    return Case(problems, Groups(parent, group, *ways), reserve)


def coordinate_case(case: Case, mapper: Mapper, start: Coordination | None = None) -> tuple[Coordination, float]:
    """The coordination, and the seconds it took."""
    begin = time.perf_counter()
    found = coordinate(
        case.problems, case.groups, reserve=case.reserve, penalty_per_kwh=PENALTY, tolerance=TOLERANCE, start=start,
        mapper=mapper,
    )  # fmt: skip
    return found, time.perf_counter() - begin


def compare(homes: int, mapper: Mapper) -> list[Row]:
    """Ours against HiGHS's better method; `RuntimeError` if the cost is off by more than 0.1%, or a bound is none."""
    case = fleet_case(homes)
    found, _ = coordinate_case(case, mapper)
    seconds = statistics.median(coordinate_case(case, mapper)[1] for _ in range(3))
    central = build(
        case.problems, parent=case.groups.parent, group=case.groups.group, raise_kw=case.reserve.raise_kw,
        import_limit_kw=case.groups.import_limit_kw, export_limit_kw=case.groups.export_limit_kw,
        duration=case.reserve.hours, penalty_per_kwh=PENALTY,
    )  # fmt: skip
    times, optimum = {}, 0.0
    for method in ("ipm", "simplex") if homes <= 100 else ("ipm",):
        times[method], optimum = _highs_s(central, method)
    scale = max(1.0, abs(optimum))
    if abs(found.cost - optimum) > RELATIVE * scale or found.cost - found.gap > optimum + 1e-6 * scale:
        raise RuntimeError(f"{homes} homes: HiGHS finds {optimum!r}, the coordination {found.cost!r} − {found.gap!r}")
    best = min(times, key=lambda method: times[method])
    return [
        less_is_better(f"{homes} homes", seconds, "s", f"HiGHS ({best}), one central programme", times[best]),
        Row(
            metric=f"{homes} homes, cost above the optimum", value=max(found.cost - optimum, 1e-9) / scale, unit="ratio"
        ),
    ]


def _highs_s(model: highspy.Highs, method: str) -> tuple[float, float]:
    model.clearSolver()
    model.setOptionValue("solver", method)
    begin = time.perf_counter()
    return_value = run_highs(model)
    return time.perf_counter() - begin, return_value


def measure(homes: int, mapper: Mapper) -> list[Row]:
    """From nothing, and again with another forecast from the last prices; with the gaps that were proven."""
    case = fleet_case(homes)
    cold, cold_s = coordinate_case(case, mapper)
    net: F64 = case.problems.net_load_kw * np.random.default_rng(1).uniform(0.95, 1.05, case.problems.net_load_kw.shape)
    later = dataclasses.replace(case, problems=dataclasses.replace(case.problems, net_load_kw=net))
    warm, warm_s = coordinate_case(later, mapper, cold)
    rows = []
    for name, found, seconds in (("from nothing", cold, cold_s), ("re-coordinated", warm, warm_s)):
        gap = found.gap / max(1.0, abs(found.cost))
        if gap > RELATIVE:
            raise RuntimeError(f"{homes} homes {name}: the gap is {gap!r}")
        rows += [
            Row(metric=f"{homes:,} homes, {name}", value=seconds, unit="s"),
            Row(metric=f"{homes:,} homes, {name}, proven gap", value=gap, unit="ratio"),
            Row(metric=f"{homes:,} homes, {name}, rounds", value=float(found.iterations), unit="rounds"),
        ]
    return rows
