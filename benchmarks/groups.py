"""How long it takes to see a million sites by group: estimates, sums, offer curves, and what is firm of both.

The groups are the portfolio, its regions, substations and feeders and a set across them; what may fail together are
gateways, telecom providers and firmware versions. The sums are held against pandas and numpy, which
sum by feeder alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks import fleets
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F32, F64, I32
from powerflock.groups.capacity import up_down
from powerflock.groups.curves import curve_table
from powerflock.groups.firm import firm_capacity, firm_curves
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import group_sums
from powerflock.twins.estimate import EstimateSettings, SiteColumns, observe

NAME = "groups"
SUMMARY = "1,000,000 sites estimated and summed into all groups; offer curves summed; what is firm of both"

SITES = 1_000_000
SUMS_MS, CURVES_MS = 50.0, 100.0
"""Limits for a million sites."""
SETTINGS = EstimateSettings()


def run(*, quick: bool) -> list[Row]:
    """Rows: estimates and sums of a million sites against pandas' groupby; curve sums against numpy's `add.at`."""
    runs = 3 if quick else 7
    shard = fleets.fleet(SITES)
    tree = Hierarchy.of([shard.table])
    columns, pairs = observe(shard, fleets.NOW_US, SETTINGS), tree.failures.pairs
    table, frame, feeder = group_sums(tree, columns), _frame(columns, tree), tree.feeder_of_site[0]
    observe_s = _core_s(lambda: observe(shard, fleets.NOW_US, SETTINGS), runs)
    sums_s = _core_s(lambda: group_sums(tree, columns), runs)
    firm_s = _core_s(lambda: firm_capacity(pairs, table), runs)
    pandas_s = _core_s(lambda: _frame_sums(frame, columns), runs)
    offered = "all GroupTable columns of"
    of_sites = f"{SITES:,} sites in {tree.groups:,} groups"
    return [
        less_is_better(f"group sums, {offered} {of_sites}", sums_s * 1e3, "ms", "the limit", SUMS_MS),
        less_is_better(
            f"group sums, {of_sites}",
            sums_s * 1e3,
            "ms",
            "pandas groupby of 9 of its 25 columns, feeders only",
            pandas_s * 1e3,
        ),
        Row(
            metric=f"firm capacity, {pairs.size:,} pairs of group and failure class",
            value=firm_s * 1e3,
            unit="ms",
        ),
        Row(metric=f"site estimates from {shard.table.devices:,} devices", value=observe_s * 1e3, unit="ms"),
        *_curve_rows(tree, feeder, runs),
    ]


def _curve_rows(tree: Hierarchy, feeder: I32, runs: int) -> list[Row]:
    """The sums of all sites' offer curves, and the firm curves."""
    offers_kw = offers(SITES)
    table = curve_table(tree, offers_kw)
    curves_s = _core_s(lambda: curve_table(tree, offers_kw), runs)
    firm_s = _core_s(lambda: firm_curves(tree.failures.pairs, table), runs)
    naive_s = _core_s(lambda: _naive_curves(feeder, tree.groups, offers_kw), 1)
    metric = f"curve sums, {SITES:,} sites × {PRICE_GRID.size} prices, failure classes included"
    return [
        less_is_better(metric, curves_s * 1e3, "ms", "the limit", CURVES_MS),
        less_is_better(metric, curves_s * 1e3, "ms", "numpy.add.at, feeders only", naive_s * 1e3),
        Row(metric=f"firm curves, {tree.groups:,} groups", value=firm_s * 1e3, unit="ms"),
    ]


def _core_s(work: Callable[[], object], runs: int) -> float:
    return median_s(work, runs, clock=time.process_time)


def offers(sites: int) -> F32:
    """(S, 41) random non-increasing curves, kW."""
    steps = np.random.default_rng(4).exponential(0.2, (sites, PRICE_GRID.size))
    return np.asarray(5.0 - np.cumsum(steps, axis=1), np.float32)


def _frame(columns: SiteColumns, tree: Hierarchy) -> pd.DataFrame:
    up_kw, down_kw = up_down(columns)
    return pd.DataFrame(
        {
            "feeder": tree.feeder_of_site[0],
            "power": columns.meter_kw,
            "variance": columns.meter_std_kw**2,
            "stored": columns.stored_kwh,
            "capacity": columns.capacity_kwh,
            "up": up_kw,
            "down": down_kw,
            "fresh": columns.freshness == 0,
            "stale": columns.freshness == 1,
            "silent": columns.freshness == 2,
        }
    )


def _frame_sums(frame: pd.DataFrame, columns: SiteColumns) -> object:
    """The same work as `group_sums`: what can be moved is worked out again, then all is summed by feeder."""
    up_kw, down_kw = up_down(columns)
    frame["up"], frame["down"] = up_kw, down_kw
    return frame.groupby("feeder").sum()


def _naive_curves(feeder: I32, groups: int, offers_kw: F32) -> F64:
    sums = np.zeros((groups, offers_kw.shape[1]))
    np.add.at(sums, feeder, offers_kw)
    return sums
