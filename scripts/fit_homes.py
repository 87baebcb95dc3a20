"""Fit the parameters of the home generator to real homes and write them, rounded, to the package.

Usage: python scripts/fit_homes.py DATA_FOLDER [OUTPUT.json]. DATA_FOLDER holds fontana_hourly.parquet (12 homes,
California) and bondi_halfhourly.parquet (4 flats, Sydney) with their solar sizes. Only statistics leave this script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

F64 = npt.NDArray[np.float64]
OUTPUT = Path(__file__).parents[1] / "src/powerflock/sim/parameters.json"
FONTANA = {"latitude": 34.1, "first_day": 212}  # 1 August 2021 is day 212 after 1 January
BONDI = {"latitude": -33.9, "first_day": 221}
NIGHTLESS_FLOOR = 0.15
COMPONENTS = 3
EXCESS_KWH = 0.5  # a half-hour this much above expectation counts as an appliance event


def main(folder: Path, output: Path) -> None:
    """Read, fit, write."""
    fontana_load, fontana_yield, sizes = read_fontana(folder)
    bondi_load, bondi_yield, bondi_sizes = read_bondi(folder)
    homes = [*fontana_load, *bondi_load]
    noise = fit_noise(fontana_load, bondi_load)
    parameters = fit_level(homes) | fit_shape(homes) | noise | fit_days(homes, daily_noise(noise))
    parameters |= fit_events(bondi_load)
    parameters |= fit_sizes(np.concatenate([sizes, bondi_sizes]))
    parameters |= fit_solar([(fontana_yield, FONTANA), (bondi_yield, BONDI)])
    output.write_text(json.dumps(parameters, indent=1) + "\n", encoding="utf-8")


def read_fontana(folder: Path) -> tuple[list[F64], F64, F64]:
    """Load as (365, 48) kWh per half-hour for each home, mean yield (365, 48) kW per kW, sizes (12,) kW.

    Home b12 uses nothing at night (an office); its logarithm would dominate the shapes, so it is left out of the loads.
    """
    table = pq.read_table(folder / "fontana_hourly.parquet").to_pydict()
    sizes = json.loads((folder / "fontana_solar_kw.json").read_text())
    loads = [np.roll(np.array(table[f"b{i}_load_kwh"]), -1) for i in range(1, 12)]  # row 0 is the hour before day 1
    yields = np.mean([np.roll(np.array(table[f"b{i}_pv_w_per_kw"]), -1) for i in range(1, 13)], axis=0) / 1000.0
    halves = [np.repeat(load / 2.0, 2).reshape(365, 48) for load in loads]
    return halves, np.repeat(yields, 2).reshape(365, 48), np.array([sizes[f"b{i}"]["solar_kw"] for i in range(1, 13)])


def read_bondi(folder: Path) -> tuple[list[F64], F64, F64]:
    """As `read_fontana`; sizes are the highest power seen, yield is relative to it."""
    table = pq.read_table(folder / "bondi_halfhourly.parquet").to_pydict()
    loads = [np.array(table[f"B{i}_load_kwh"]).reshape(365, 48) for i in range(1, 5)]
    solar_kw = np.array([np.array(table[f"B{i}_solar_kwh"]) for i in range(1, 5)]) * 2.0
    sizes = solar_kw.max(axis=1)
    return loads, (solar_kw / sizes[:, None]).mean(axis=0).reshape(365, 48), sizes


def fit_level(homes: list[F64]) -> dict[str, object]:
    """Lognormal of mean daily use."""
    daily = np.log([load.sum(axis=1).mean() for load in homes])
    return {"level_log_mean": r(daily.mean()), "level_log_std": r(daily.std(ddof=1))}


def fit_shape(homes: list[F64]) -> dict[str, object]:
    """Mean log shape by half-hour, and the leading ways in which homes differ from it, one standard deviation each."""
    shapes = np.log(np.maximum([load.mean(axis=0) / load.mean() for load in homes], NIGHTLESS_FLOOR))
    mean = shapes.mean(axis=0)
    _, singular, ways = np.linalg.svd(shapes - mean, full_matrices=False)
    scaled = ways[:COMPONENTS] * singular[:COMPONENTS, None] / np.sqrt(len(homes) - 1)
    return {"shape_log_mean": r(mean), "shape_log_ways": [r(way) for way in scaled]}


def daily_noise(noise: dict[str, object]) -> float:
    """Variance that noise within a day leaves in the logarithm of the day's total."""
    spread, memory = float(str(noise["noise_log_std"])), float(str(noise["noise_memory_minutes"]))
    return float(np.expm1(spread**2) * 2.0 * memory / 1440.0)


def fit_days(homes: list[F64], noise_variance: float) -> dict[str, object]:
    """Spread and persistence of a day's use about the weeks around it, beyond what noise within days explains."""
    residuals = []
    for load in homes:
        daily = np.log(np.maximum(load.sum(axis=1), 0.1))
        around = np.convolve(np.pad(daily, 15, mode="reflect"), np.ones(31) / 31.0, mode="valid")
        residuals.append(daily - around)
    variance = float(np.median([x.std() for x in residuals])) ** 2
    beyond = max(variance - noise_variance, 0.25 * variance)
    lasting = float(np.median([lag(x) for x in residuals])) * variance
    return {"day_log_std": r(beyond**0.5), "day_keep": r(min(lasting / beyond, 0.9))}


def noise_of(load: F64) -> F64:
    """Log of use over what the hour and the day lead one to expect, (365·48,)."""
    expected = load.mean(axis=0) * (load.sum(axis=1) / load.sum(axis=1).mean())[:, None]
    floor = 0.1 * load.mean()
    residual: F64 = np.log((load + floor) / (expected + floor)).ravel()
    return residual


def fit_noise(fontana: list[F64], bondi: list[F64]) -> dict[str, object]:
    """Spread of the log of use within a day, and its memory in minutes (one e-fold), pooled over both data sets."""
    hourly = [noise_of(load)[::2] for load in fontana]
    halfly = [noise_of(load) for load in bondi]
    spread = np.median([x.std() for x in hourly + halfly])
    memory = [-60.0 / np.log(lag(x)) for x in hourly] + [-30.0 / np.log(lag(x)) for x in halfly]
    return {"noise_log_std": r(spread), "noise_memory_minutes": r(np.median(memory))}


def fit_events(bondi: list[F64]) -> dict[str, object]:
    """Appliance events in the half-hourly homes: how often a day, and the excess power (lognormal, kW)."""
    rates, excesses = [], []
    for load in bondi:
        excess = load.ravel() - np.tile(load.mean(axis=0), 365)
        starts = np.flatnonzero((excess[1:] > EXCESS_KWH) & (excess[:-1] <= EXCESS_KWH)) + 1
        rates.append(len(starts) / 365.0)
        excesses.append(excess[starts] * 2.0)
    logs = np.log(np.concatenate(excesses))
    return {"events_per_day": r(np.mean(rates)), "event_log_mean": r(logs.mean()), "event_log_std": r(logs.std())}


def fit_sizes(sizes: F64) -> dict[str, object]:
    """Lognormal of installed solar power."""
    return {"solar_log_mean": r(np.log(sizes).mean()), "solar_log_std": r(np.log(sizes).std(ddof=1))}


def fit_solar(places: list[tuple[F64, dict[str, float]]]) -> dict[str, object]:
    """Clear-sky output against the sun's height, and the clearness of days: quantiles, persistence, roughness."""
    clear_ratio, keeps, clearness_all, rough = [], [], [], []
    for output, place in places:
        sine = sun_sine(place["latitude"], int(place["first_day"]))
        window = np.array([np.quantile(output[max(0, d - 15) : d + 16], 0.95, axis=0) for d in range(365)])
        clear_ratio.append((window.sum() / (sine**1.2).sum(), sine))
        clear = clear_ratio[-1][0] * sine**1.2
        clearness = output.sum(axis=1) / clear.sum(axis=1)
        clearness_all.append(clearness)
        keeps.append(lag(clearness))
        noon = slice(20, 30)
        ratio = output[:, noon] / clear[:, noon]
        spread = (ratio - ratio.mean(axis=1, keepdims=True)).std(axis=1)
        cloudy = np.clip(clearness * (1.1 - clearness), 0.02, None)
        rough.append((spread * cloudy).sum() / (cloudy**2).sum())
    quantiles = np.quantile(np.concatenate(clearness_all), np.linspace(0.0, 1.0, 11))
    return {
        "clear_ratio": r(np.mean([value for value, _ in clear_ratio])),
        "clearness_quantiles": r(quantiles),
        "clearness_keep": r(np.mean(keeps)),
        "cloud_roughness": r(np.mean(rough)),
    }


def sun_sine(latitude: float, first_day: int) -> F64:
    """Sine of the sun's height, 0 at night, (365, 48) at half-hour centres of solar time."""
    day = (np.arange(365) + first_day)[:, None]
    declination = np.radians(-23.44) * np.cos(2.0 * np.pi * (day + 10.0) / 365.25)
    hour = np.radians(15.0) * ((np.arange(48) + 0.5) / 2.0 - 12.0)[None, :]
    phi = np.radians(latitude)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    sine: F64 = np.maximum(height, 0.0)
    return sine


def lag(series: F64) -> float:
    """Correlation of neighbours."""
    return float(np.corrcoef(series[1:], series[:-1])[0, 1])


def r(value: npt.ArrayLike) -> object:
    """Three decimals."""
    return np.round(np.asarray(value, dtype=np.float64), 3).tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else OUTPUT)
