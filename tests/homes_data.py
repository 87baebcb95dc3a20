"""Real homes for tests, converted to the homes file format from the data folder: 12 in Fontana and 4 flats in Bondi.

Their seasons and years differ; both are relabelled to start at the time asked for, so that they can share a market.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data import data_file

HALF_HOUR_US = 1_800_000_000


def fontana(first_day: int, days: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Load and generation of the 12 homes, both (12, days·48) kWh a half-hour, and solar sizes (kW).

    Row 0 is the hour before 1 August, so day d starts at row 1 + 24·d; an hour's energy is split over its half-hours.
    """
    table = pq.read_table(data_file("homes/fontana_hourly.parquet"))
    sizes = json.loads(data_file("homes/fontana_solar_kw.json").read_text())
    hours = slice(1 + 24 * first_day, 1 + 24 * (first_day + days))
    solar_kw = [float(sizes[f"b{i}"]["solar_kw"]) for i in range(1, 13)]
    load = np.array([table[f"b{i}_load_kwh"].to_numpy()[hours] for i in range(1, 13)])
    per_kw = np.array([table[f"b{i}_pv_w_per_kw"].to_numpy()[hours] for i in range(1, 13)]) / 1000.0
    solar = per_kw * np.array(solar_kw)[:, None]
    return np.repeat(load / 2.0, 2, axis=1), np.repeat(solar / 2.0, 2, axis=1), solar_kw


def bondi(first_day: int, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Load and generation of the 4 flats, both (4, days·48) kWh a half-hour."""
    table = pq.read_table(data_file("homes/bondi_halfhourly.parquet"))
    halves = slice(48 * first_day, 48 * (first_day + days))
    load = np.array([table[f"B{i}_load_kwh"].to_numpy()[halves] for i in range(1, 5)])
    return load, np.array([table[f"B{i}_solar_kwh"].to_numpy()[halves] for i in range(1, 5)])


def write_real_homes(path: Path, start_us: int, first_day: int, days: int) -> Path:
    """Write all 16 homes to `path` (.parquet) as if `first_day` of each data set had begun at `start_us`.

    Fontana's homes get a 13.5 kWh battery and a time-of-use tariff, Bondi's flats 6.5 kWh and a solar-soaker tariff.
    """
    fontana_load, fontana_solar, solar_kw = fontana(first_day, days)
    bondi_load, bondi_solar = bondi(first_day, days)
    sites = [f"fontana-{i:02d}" for i in range(1, 13)] + [f"bondi-{i}" for i in range(1, 5)]
    times = start_us + np.arange(days * 48, dtype=np.int64) * HALF_HOUR_US

    def each(values: Sequence[object]) -> np.ndarray:
        return np.repeat(np.array(values), times.size)

    table = {
        "site": each(list(sites)),
        "interval_start": pa.array(np.tile(times, 16), pa.timestamp("us", "UTC")),
        "load_kwh": np.concatenate([fontana_load, bondi_load]).ravel(),
        "solar_kwh": np.concatenate([fontana_solar, bondi_solar]).ravel(),
        "feeder": each(["fontana-01"] * 12 + ["bondi-01"] * 4),
        "region": each(["fontana"] * 12 + ["bondi"] * 4),
        "solar_kw": each([*solar_kw, 2.0, 2.0, 2.0, 2.0]),
        "battery_kwh": each([13.5] * 12 + [6.5] * 4),
        "battery_charge_kw": each([5.0] * 12 + [3.3] * 4),
        "battery_discharge_kw": each([5.0] * 12 + [3.3] * 4),
        "tariff": each(["time-of-use"] * 12 + ["solar-soaker"] * 4),
    }
    pq.write_table(pa.table(table), path)
    return path
