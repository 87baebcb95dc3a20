"""Honest baselines: the 7-day mean by half-hour with recent-error correction, and clear-sky scaled to each roof.

Every model reads history through `AsOf` only. Passive signs: solar power is ≤ 0. Times are interval starts in µs UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.site import SLOTS_PER_DAY
from powerflock.forecast.history import SLOT_US, AsOf

LOAD_ERROR_HALF_LIFE_HOURS = 1.0
PRICE_ERROR_HALF_LIFE_HOURS = 6.0
ERROR_MEMORY_HOURS = 1 / 12
SKY_MEMORY_HOURS = 2.0
SKY_HALF_LIFE_HOURS = 6.0
_SKY_PRIOR_KWH_PER_KW = 0.1
_DIM = 0.02
STEPS_PER_DAY = 288
_STEP_US = MICROS_PER_DAY // STEPS_PER_DAY
_TYPICAL_LOAD = np.array([
    0.62, 0.58, 0.55, 0.53, 0.52, 0.52, 0.52, 0.53, 0.54, 0.56, 0.60, 0.68, 0.80, 0.94, 1.02, 1.02,
    0.98, 0.94, 0.90, 0.88, 0.87, 0.87, 0.87, 0.88, 0.88, 0.88, 0.88, 0.89, 0.92, 0.96, 1.02, 1.12,
    1.24, 1.38, 1.54, 1.68, 1.78, 1.82, 1.78, 1.70, 1.60, 1.50, 1.38, 1.26, 1.12, 0.96, 0.80, 0.70,
])  # fmt: skip


@dataclass(slots=True)
class RecentError:
    """How far the base forecast has been off lately, (S,): an exponential mean over about five minutes.

    Ahead it halves every `half_life_hours`: a household's appliances are off again within the hour, a market's day that
    is dearer than usual stays so.
    """

    value: F64
    half_life_hours: float = LOAD_ERROR_HALF_LIFE_HOURS

    def update(self, actual: F64, base: F64, hours: float) -> None:
        """Blend in `actual − base` (S,) seen over the last `hours`; unknown values leave the error as it is."""
        weight = 1.0 - 0.5 ** (hours / ERROR_MEMORY_HOURS * 2)
        seen = actual - base
        self.value = np.where(np.isfinite(seen), self.value + weight * (seen - self.value), self.value)

    def ahead(self, lead_hours: F64) -> F64:
        """(S, T) the error expected `lead_hours` (T,) from now."""
        return np.asarray(self.value[:, None] * fading(lead_hours, self.half_life_hours))

    def grow(self, series: int) -> None:
        """Add series without error so far, up to `series` in all."""
        self.value = np.pad(self.value, (0, series - self.value.size))


@dataclass(slots=True)
class RecentSky:
    """How much of its base each roof gave lately: solar energy `given` and `expected`, (S,) kWh, halving every 2 hours.

    A cloudy or clear day lasts longer than a gust of load: the share found now fades towards 1 over hours. Measured on
    Bondi's, Fontana's and generated roofs, leads of 1 to 6 h: a fifth less error than a correction in kW.
    """

    given: F64
    expected: F64

    def update(self, actual: F64, base: F64, hours: float) -> None:
        """Blend in the power (S,) seen over the last `hours` and the `base` for it; unknown values change nothing."""
        known = np.isfinite(actual)
        fade = np.where(known, 0.5 ** (hours / SKY_MEMORY_HOURS), 1.0)
        self.given = self.given * fade - np.where(known, actual, 0.0) * hours
        self.expected = self.expected * fade - np.where(known, base, 0.0) * hours

    def share(self, solar_kw: F64) -> F64:
        """(S,) factor on the base now; 1 without sun lately; `solar_kw` (S,) installed. Ahead it fades towards 1."""
        doubt = np.maximum(_SKY_PRIOR_KWH_PER_KW * solar_kw, 1e-9)
        return np.clip((self.given + doubt) / (self.expected + doubt), 0.0, 2.0)

    def grow(self, sites: int) -> None:
        """Add roofs of which nothing was seen, up to `sites` in all."""
        more = sites - self.given.size
        self.given, self.expected = np.pad(self.given, (0, more)), np.pad(self.expected, (0, more))


def fading(lead_hours: F64, half_life_hours: float) -> F64:
    """(T,) how much of what is seen now still holds `lead_hours` (T,) from now."""
    return np.asarray(0.5 ** (np.maximum(lead_hours, 0.0) / half_life_hours))


def neighbours_kw(solar_kw: F64, base_kw: F64, place: I32) -> F64:
    """(S,) solar power, that of unknown roofs by what the known ones of the same `place` (S,) give of their `base_kw`.

    The sky over a roof that fell silent is its neighbours'; NaN where none of them is known either.
    """
    known = np.isfinite(solar_kw)
    places = int(place.max(initial=-1)) + 1
    given = np.bincount(place[known], solar_kw[known], minlength=places)
    possible = np.bincount(place[known], base_kw[known], minlength=places)
    share = np.divide(given, possible, out=np.full(places, np.nan), where=possible < 0.0)
    return np.where(known, solar_kw, base_kw * share[place])


def typical_load_kw(daily_load_kwh: F64, utc_offset_minutes: I32) -> F64:
    """(48, S) a household's usual day by UTC half-hour, scaled to `daily_load_kwh` (S,): the prior without history."""
    shape = _TYPICAL_LOAD / _TYPICAL_LOAD.sum() * 2
    local = (np.arange(SLOTS_PER_DAY)[:, None] + utc_offset_minutes[None, :] // 30) % SLOTS_PER_DAY
    return np.asarray(shape[local] * daily_load_kwh)


def base_load_kw(history: AsOf, prior_kw: F64, times_us: I64) -> F64:
    """(S, T) the 7-day mean of the time's half-hour, or the `prior_kw` (48, S) where a slot has no history."""
    mean = history.by_time_of_day()
    table = np.where(np.isfinite(mean), mean, prior_kw)
    return np.ascontiguousarray(table[(times_us // SLOT_US) % SLOTS_PER_DAY].T)


def clear_sky_ratio(latitude: F64, longitude: F64, times_us: I64) -> F64:
    """(L, T) clear-sky horizontal irradiance over 1 kW/m² at L places: Haurwitz (1945) through pvlib.

    Both libraries are imported here, for they take a second that a starting plant has not.
    """
    import pandas as pd
    from pvlib.clearsky import haurwitz
    from pvlib.solarposition import get_solarposition

    stamps = pd.DatetimeIndex(times_us.astype("datetime64[us]"), tz="UTC")
    rows = [
        haurwitz(get_solarposition(stamps, lat, lon)["apparent_zenith"])["ghi"].to_numpy() / 1000.0
        for lat, lon in zip(latitude, longitude, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), times_us.size)


def clear_sky_day(latitude: F64, longitude: F64, now_us: int) -> F64:
    """(L, 288) clear-sky ratio at the middle of each 5 minutes of the UTC day that holds `now_us`."""
    day = now_us // MICROS_PER_DAY
    rows = [_sky_of_day(*place, day) for place in zip(latitude.tolist(), longitude.tolist(), strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), STEPS_PER_DAY)


@lru_cache(maxsize=4096)
def _sky_of_day(latitude: float, longitude: float, day: int) -> F64:
    """(288,) the day at one place: all partitions have much the same places, and a place takes milliseconds."""
    middles = day * MICROS_PER_DAY + (np.arange(STEPS_PER_DAY) * 2 + 1) * _STEP_US // 2
    sky: F64 = clear_sky_ratio(np.array([latitude]), np.array([longitude]), middles.astype(np.int64))[0]
    sky.flags.writeable = False
    return sky


def solar_yield_ratio(history: AsOf, clear_sky: F64, place: I32, solar_kw: F64, prior: float = 0.75) -> F64:
    """(S, 48) what each roof gave over the last week per unit of clear sky and kW installed, by UTC half-hour.

    So each roof keeps its own shape: a western one gives more in the afternoon. Half-hours with hardly any sun take the
    roof's mean, and a roof without history takes `prior`. `clear_sky` (L, 48), today's for the whole week; `place` (S,)
    row of it; `solar_kw` (S,).
    """
    known = np.isfinite(history.mean)
    given = -np.where(known, history.mean, 0.0).sum(axis=0).T
    possible = known.sum(axis=0).T * clear_sky[place] * solar_kw[:, None]
    whole = possible.sum(axis=1)
    enough = whole > solar_kw
    mean = np.where(enough, given.sum(axis=1) / np.where(enough, whole, 1.0), prior)
    bright = enough[:, None] & (possible > _DIM * solar_kw[:, None])
    return np.clip(np.where(bright, given / np.where(bright, possible, 1.0), mean[:, None]), 0.0, 1.5)


def base_solar_kw(yield_ratio: F64, solar_kw: F64, clear_sky: F64, place: I32) -> F64:
    """(S, T) expected solar kW, passive (≤ 0): `yield_ratio` (S, T) × installed kW × its `clear_sky` (L, T)."""
    return np.asarray(-yield_ratio * solar_kw[:, None] * clear_sky[place])


def net_load_ahead_kw(
    load: tuple[F64, F64], yield_ratio: F64, solar_kw: F64, clear_sky: F64, place: I32, share: F64, times_us: I64,
    lead_hours: F64,
) -> F64:  # fmt: skip
    """(S, T) expected load and solar, kW passive, `lead_hours` (T,) from now, each with what was seen lately.

    `load` is the base day (S, 48) and the recent error (S,); a roof's `base_solar_kw` is taken by its `share` (S,);
    `clear_sky` (L, 288). In one pass: the matrices in between would be the fleet's largest.
    """
    slot, step = (times_us // SLOT_US) % SLOTS_PER_DAY, (times_us // _STEP_US) % STEPS_PER_DAY
    fade = fading(lead_hours, LOAD_ERROR_HALF_LIFE_HOURS), fading(lead_hours, SKY_HALF_LIFE_HOURS)
    ahead: F64 = np.empty((solar_kw.size, times_us.size))
    _ahead(*load, yield_ratio, solar_kw, clear_sky, place, share, slot, step, *fade, ahead)
    return ahead


@kernel
def _ahead(
    load_kw: F64, error_kw: F64, yield_ratio: F64, solar_kw: F64, clear_sky: F64, place: I32, share: F64, slot: I64,
    step: I64, load_fade: F64, sky_fade: F64, ahead: F64,
) -> None:  # fmt: skip
    for site in range(solar_kw.size):
        for t in range(slot.size):
            load = max(load_kw[site, slot[t]] + error_kw[site] * load_fade[t], 0.0)
            solar = -yield_ratio[site, slot[t]] * solar_kw[site] * clear_sky[place[site], step[t]]
            ahead[site, t] = load + solar * (1.0 + (share[site] - 1.0) * sky_fade[t])


def base_price_per_mwh(history: AsOf, times_us: I64, fallback: float) -> F64:
    """(T,) the middle of the week's prices at the time's half-hour; `fallback` without history. One series."""
    middle = history.middle_by_time_of_day()[:, 0]
    table = np.where(np.isfinite(middle), middle, fallback)
    return np.asarray(table[(times_us // SLOT_US) % SLOTS_PER_DAY])


def lead_hours(times_us: I64, now_us: int) -> F64:
    """(T,) hours from now to each time."""
    return np.asarray((times_us - now_us) / MICROS_PER_HOUR)
