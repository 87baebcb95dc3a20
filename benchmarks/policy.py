"""What a policy costs: to evaluate in plain Python at the edge, against planning the home again, and to send."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.highs_reference import random_problems
from benchmarks.real_homes import folder, real_problems
from benchmarks.rows import Row, less_is_better
from powerflock.domain.policy import Basis, Policy
from powerflock.optimise.policy import policies_of, policy_payloads, solve_levels
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import solve

NAME = "policy"
SUMMARY = "a policy evaluated in plain Python, against planning the home again; its bytes, against a plain schedule's"

INTERVALS = (48, 288)
HOMES, QUICK_HOMES = 512, 64
EVALUATIONS, QUICK_EVALUATIONS = 20_000, 2_000
START_US = 1_767_225_600_000_000
SCHEDULE_BYTES = 4
_TOLERANCE_KW = 1e-6


def run(*, quick: bool) -> list[Row]:
    """Rows at 48 and 288 intervals: µs per decision, µs to make and to read a policy, bytes per home."""
    homes, evaluations, runs = (QUICK_HOMES, QUICK_EVALUATIONS, 3) if quick else (HOMES, EVALUATIONS, 7)
    rows, data = [], folder()
    for intervals in INTERVALS:
        rows += deciding(_day(random_problems(1, homes, intervals)), evaluations, runs)
        rows += sending("random homes", _day(random_problems(1, homes, intervals)), runs)
        if data is not None:
            rows += sending("real homes", real_problems(data, intervals, homes), runs)
    return rows


def _day(problems: SiteProblems) -> SiteProblems:
    return dataclasses.replace(problems, hours=np.full(problems.intervals, 24.0 / problems.intervals))


def deciding(problems: SiteProblems, evaluations: int, runs: int) -> list[Row]:
    """One decision by the policy and one by planning the home again from its state, one home at a time.

    `RuntimeError` where the two decide differently.
    """
    first = policies_of(problems, solve_levels(problems), range(problems.homes), START_US, Basis.OWNER)
    planned = solve(problems).battery_kw[:, 0].tolist()
    states = [(policy, *_state(problems, home)) for home, policy in enumerate(first)]
    for home, (policy, *state) in enumerate(states):
        power = policy.power_kw(START_US, *state)
        if power is None or abs(power - planned[home]) > _TOLERANCE_KW:
            raise RuntimeError(f"home {home}: the policy decides {power!r} kW where the plan has {planned[home]!r}")
    alone = [problems.rows(slice(home, home + 1)) for home in range(problems.homes)]

    def decide() -> None:
        for turn in range(evaluations):
            policy, stored, load, low, high = states[turn % len(states)]
            policy.power_kw(START_US, stored, load, low, high)

    def plan_again() -> None:
        for problem in alone:
            solve(problem)

    ours_us, again_us = _in_turn([(decide, evaluations), (plan_again, len(alone))], runs)
    metric = f"a decision by policy in plain Python, {problems.intervals} intervals"
    return [less_is_better(metric, ours_us, "µs", "planning this home again with the compiled optimiser", again_us)]


def _state(problems: SiteProblems, home: int) -> tuple[float, float, float, float]:
    """Stored kWh, net load kW, and the battery power's range, of `home` at the start."""
    cells, load = problems.batteries, float(problems.net_load_kw[home, 0])
    low = max(-cells.discharge_limit_kw[home], -cells.export_limit_kw[home] - load)
    high = min(cells.charge_limit_kw[home], cells.import_limit_kw[home] - load)
    return float(problems.stored_kwh[home]), load, float(low), float(high)


def sending(label: str, problems: SiteProblems, runs: int) -> list[Row]:
    """Bytes of a policy, and µs to make one's levels, write it and read it."""
    levels = solve_levels(problems)
    policies = policies_of(problems, levels, range(problems.homes), START_US, Basis.FLEET)
    payloads = [policy.to_bytes() for policy in policies]
    if policy_payloads(problems, levels, START_US, Basis.FLEET)[0] != payloads:
        raise RuntimeError("policies written at once are not those written one by one")
    works: list[Callable[[], object]] = [
        lambda: solve_levels(problems),
        lambda: [policy.to_bytes() for policy in policies],
        lambda: policy_payloads(problems, levels, START_US, Basis.FLEET),
        lambda: [Policy.from_bytes(payload) for payload in payloads],
    ]
    levels_us, write_us, at_once_us, read_us = _in_turn([(work, problems.homes) for work in works], runs)
    metric, plain = f"{label}, {problems.intervals} intervals", float(SCHEDULE_BYTES * problems.intervals)
    mean = statistics.mean(map(len, payloads))
    return [
        less_is_better(f"{metric}: a policy", mean, "bytes", "a plain schedule in float32, good for one state", plain),
        Row(metric=f"{metric}: solving for a home's levels", value=levels_us, unit="µs"),
        Row(metric=f"{metric}: writing a policy", value=write_us, unit="µs"),
        less_is_better(
            f"{metric}: making and writing one of {problems.homes} policies at once",
            at_once_us,
            "µs",
            "only writing them, one by one",
            write_us,
        ),
        Row(metric=f"{metric}: reading and checking a policy", value=read_us, unit="µs"),
    ]


def _in_turn(works: list[tuple[Callable[[], object], int]], runs: int) -> list[float]:
    """Median µs of each work's items, the works taking turns, after a turn that is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(runs + 1):
        for (work, count), own in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            own.append((time.perf_counter() - start) / count)
    return [statistics.median(own[1:]) * 1e6 for own in seconds]
