"""Real home-days as site problems: 12 homes in Fontana, 4 flats in Bondi, Victoria's five-minute prices.

The files are read from `$POWERFLOCK_DATA`, else `../shared/data` beside the project; they are not part of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from powerflock.domain.arrays import F64
from powerflock.optimise.problem import Batteries, SiteProblems
from powerflock.optimise.site import lowest_convex_price
from powerflock.sim.catalogue import TARIFFS

FONTANA, SOLAR, BONDI, PRICES = (
    "homes/fontana_hourly.parquet",
    "homes/fontana_solar_kw.json",
    "homes/bondi_halfhourly.parquet",
    "nem/vic1_price_demand_5min_2024-12_2025-07.parquet",
)
REIMBURSEMENT_PER_KWH = 0.08


def folder() -> Path | None:
    """Where the files are, or None where one of them is absent."""
    named = os.environ.get("POWERFLOCK_DATA")
    found = Path(named) if named else Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return found if all((found / name).is_file() for name in (FONTANA, SOLAR, BONDI, PRICES)) else None


def real_problems(data: Path, intervals: int, homes: int) -> SiteProblems:
    """`homes` of the 16 homes' days spread over a year, of one day of `intervals` (48, 96 or 288), with a battery each.

    An aggregator's coordination price, spot less reimbursement, on one real day of prices, raised where it is so
    negative that the problem would not be convex, as a plant does.
    """
    days = _days(data)
    rows = np.linspace(0, days.shape[0] - 1, homes).astype(np.int64)
    net_load_kw = np.repeat(days[rows], intervals // 48, axis=1)
    slots = np.arange(intervals) * 48 // intervals
    tariffs = np.array([[tariff.import_per_kwh, tariff.export_per_kwh] for tariff in TARIFFS])[:, :, slots]
    capacity = np.resize([13.5, 9.8, 6.5, 5.0], homes)
    limit = np.resize([5.0, 5.0, 3.3, 3.8], homes)
    efficiency, wide, none = np.full(homes, 0.95), np.full(homes, 100.0), np.zeros(homes)
    spot = pq.read_table(data / PRICES)["RRP"].to_numpy()[:288].reshape(intervals, -1).mean(axis=1) / 1000.0
    reserve, wear = 0.2 * capacity, np.full(homes, 0.02)
    problems = SiteProblems(
        hours=np.full(intervals, 24.0 / intervals),
        net_load_kw=net_load_kw,
        import_per_kwh=np.ascontiguousarray(tariffs[:, 0]),
        export_per_kwh=np.ascontiguousarray(tariffs[:, 1]),
        tariff=(np.arange(homes) % len(TARIFFS)).astype(np.int32),
        coordination_per_kwh=spot - REIMBURSEMENT_PER_KWH,
        terminal_per_kwh=np.full(homes, 0.2),
        stored_kwh=0.5 * capacity,
        batteries=Batteries(limit, limit, efficiency, efficiency, wear, reserve, capacity, wide, wide, none, none),
    )
    lowest = lowest_convex_price(problems)
    return dataclasses.replace(problems, coordination_per_kwh=np.maximum(problems.coordination_per_kwh, lowest))


def _days(data: Path) -> F64:
    """(home-days, 48) net load in kW: each home's whole days, one home after another."""
    fontana, bondi = pq.read_table(data / FONTANA), pq.read_table(data / BONDI)
    sizes = json.loads((data / SOLAR).read_text(encoding="utf-8"))
    rows = []
    for home in range(1, 13):
        solar_kw = fontana[f"b{home}_pv_w_per_kw"].to_numpy() / 1000.0 * float(sizes[f"b{home}"]["solar_kw"])
        hourly = fontana[f"b{home}_load_kwh"].to_numpy() - solar_kw
        rows.append(np.repeat(hourly[1:-23].reshape(-1, 24), 2, axis=1))
    for flat in range(1, 5):
        half_hourly = bondi[f"B{flat}_load_kwh"].to_numpy() - bondi[f"B{flat}_solar_kwh"].to_numpy()
        rows.append(half_hourly.reshape(-1, 48) * 2.0)
    return np.concatenate(rows)
