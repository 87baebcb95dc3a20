"""How long it takes to see a million homes by group: estimates, sums and offer curves, against pandas and numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.rows import Row, less_is_better, median_s
from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64
from powerflock.domain.columns import DeviceKind
from powerflock.domain.registry import TABLE_COLUMNS, Place, SiteTable
from powerflock.groups.capacity import up_down
from powerflock.groups.curves import curve_sums
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import group_sums
from powerflock.twins.columns import Shard
from powerflock.twins.estimate import EstimateSettings, SiteColumns, observe

NAME = "groups"
SUMMARY = "1,000,000 sites estimated and summed by feeder, region and portfolio; offer curves summed"

SITES = 1_000_000
CURVES = 1_000_000
QUICK_CURVES = 200_000
FEEDERS = 2_000
REGIONS = 5
NOW_US = 1_770_000_000_000_000
SETTINGS = EstimateSettings()


def run(*, quick: bool) -> list[Row]:
    """Rows: estimates and sums of a million sites against pandas' groupby; curve sums against numpy's `add.at`."""
    runs, curves = (3, QUICK_CURVES) if quick else (7, CURVES)
    shard = fleet(SITES)
    tree = Hierarchy.of([shard.table])
    columns = observe(shard, NOW_US, SETTINGS)
    frame, feeder = _frame(columns), tree.feeder_of_site[0]
    observe_s = median_s(lambda: observe(shard, NOW_US, SETTINGS), runs)
    sums_s = median_s(lambda: group_sums(tree, columns), runs)
    pandas_s = median_s(lambda: _frame_sums(frame, columns), runs)
    part = Hierarchy.of([fleet(curves).table])
    offers_kw = offers(curves)
    curves_s = median_s(lambda: curve_sums(part, offers_kw), runs)
    naive_s = median_s(lambda: _naive_curves(feeder[:curves], tree.groups, offers_kw), 1 if quick else 3)
    of_sites = f"{SITES:,} sites in {FEEDERS:,} feeders"
    by_pandas, by_numpy = (
        "pandas groupby of 9 of its 15 columns, feeders only",
        "numpy.add.at, feeders only",
    )
    return [
        less_is_better(f"group sums, {of_sites}", sums_s * 1e3, "ms", by_pandas, pandas_s * 1e3),
        Row(metric=f"site estimates from device columns, {of_sites}", value=observe_s * 1e3, unit="ms"),
        less_is_better(
            f"curve sums, {curves:,} sites × {PRICE_GRID.size} prices", curves_s * 1e3, "ms", by_numpy, naive_s * 1e3
        ),
    ]


def fleet(sites: int) -> Shard:
    """A shard of homes with a battery, solar and a meter each, all of which have reported."""
    rng = np.random.default_rng(3)
    rows = np.arange(sites, dtype=np.int32)
    columns = {name: np.ones(sites, dtype) for name, dtype in TABLE_COLUMNS.items()}
    columns["device_site"] = np.repeat(rows, 3)
    columns["device_kind"] = np.tile(np.array(list(DeviceKind), np.uint8), sites)
    for kind in DeviceKind:
        columns[f"{kind.wire}_device"] = rows * 3 + kind
    columns["capacity_kwh"] = np.full(sites, 13.5)
    columns["charge_limit_kw"] = columns["discharge_limit_kw"] = np.full(sites, 5.0)
    columns["import_limit_kw"] = columns["export_limit_kw"] = np.full(sites, 14.0)
    columns["place"] = rng.integers(0, FEEDERS, sites).astype(np.int32)
    places = [Place(f"R{feeder % REGIONS}", f"F{feeder}") for feeder in range(FEEDERS)]
    shard = Shard.of(SiteTable.of(columns, places))
    shard.devices["seq"], shard.devices["time_us"] = 1, NOW_US
    shard.devices["power_kw"] = rng.normal(0.0, 1.0, shard.devices.size)
    shard.devices["energy_kwh"] = rng.uniform(2.0, 13.0, shard.devices.size)
    return shard


def offers(sites: int) -> F64:
    """(S, 41) random non-increasing curves, kW."""
    steps = np.random.default_rng(4).exponential(0.2, (sites, PRICE_GRID.size))
    return np.asarray(5.0 - np.cumsum(steps, axis=1))


def _frame(columns: SiteColumns) -> pd.DataFrame:
    up_kw, down_kw = up_down(columns)
    return pd.DataFrame(
        {
            "feeder": columns.table.place,
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


def _naive_curves(feeder: np.ndarray[tuple[int, ...], np.dtype[np.int32]], groups: int, offers_kw: F64) -> F64:
    sums = np.zeros((groups, offers_kw.shape[1]))
    np.add.at(sums, feeder, offers_kw)
    return sums
