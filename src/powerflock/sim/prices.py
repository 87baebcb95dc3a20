"""A market's energy prices as one gapless column, generated from a seed or read from AEMO's files.

Invariants: prices are A$/MWh as the market publishes them (for energy sent out, generation-positive), finite, one per
5 minutes; `source` says where they come from and `generated` is true for invented ones. Must not know bids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_S, to_rfc3339
from powerflock.domain.errors import InvalidInput

STEP_US = 300 * MICROS_PER_S
STEPS_PER_DAY = MICROS_PER_DAY // STEP_US
MARKET_TIME_US = 10 * MICROS_PER_HOUR
"""NEM time is UTC+10 all year."""
PRICE_FLOOR_PER_MWH, PRICE_CAP_PER_MWH = -1000.0, 17500.0


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """`price_per_mwh[j]` ((T,) float64, A$/MWh) holds over [start_us + j·step_us, + step_us)."""

    start_us: int
    price_per_mwh: F64
    source: str
    generated: bool
    region: str = ""
    step_us: int = STEP_US

    @property
    def end_us(self) -> int:
        """End of the last interval."""
        return self.start_us + self.price_per_mwh.size * self.step_us

    def at(self, time_us: int) -> float:
        """Price of the interval that holds `time_us`; outside the series it is `InvalidInput`."""
        if not self.start_us <= time_us < self.end_us:
            raise self._outside("time", to_rfc3339(time_us))
        return float(self.price_per_mwh[(time_us - self.start_us) // self.step_us])

    def window(self, start_us: int, end_us: int) -> PriceSeries:
        """The part over [start, end), whose ends are interval ends inside the series; else `InvalidInput`."""
        first, first_rest = divmod(start_us - self.start_us, self.step_us)
        last, last_rest = divmod(end_us - self.start_us, self.step_us)
        if first_rest or last_rest or not 0 <= first < last <= self.price_per_mwh.size:
            raise self._outside("window", f"{to_rfc3339(start_us)} to {to_rfc3339(end_us)}")
        return replace(self, start_us=start_us, price_per_mwh=self.price_per_mwh[first:last])

    def shift_days(self, days: int) -> PriceSeries:
        """The same prices `days` later (earlier if negative), at the same times of day."""
        moved = f"{self.source}, moved by {days:+d} days" if days else self.source
        return replace(self, start_us=self.start_us + days * MICROS_PER_DAY, source=moved)

    def _outside(self, what: str, value: str) -> InvalidInput:
        bound = f"must lie in {to_rfc3339(self.start_us)} to {to_rfc3339(self.end_us)} on 5-minute boundaries"
        return InvalidInput(f"price {what} ({self.source})", value, bound, "Give a file that covers it, or shift days.")


def market_midnight_from(time_us: int) -> int:
    """The first market midnight at or after `time_us`."""
    return time_us + (-(time_us + MARKET_TIME_US)) % MICROS_PER_DAY


def generated(seed: int, start_us: int, days: int) -> PriceSeries:
    """`days` × 24 h of invented prices from `start_us` (a 5-minute boundary) on.

    A day's prices depend only on the seed and the day (in NEM time), so any two windows agree where they overlap.
    """
    if start_us % STEP_US or days < 1:
        raise InvalidInput("generated prices (start, days)", (start_us, days), "must start on 5 minutes and last a day")
    first_day, offset_us = divmod(start_us + MARKET_TIME_US, MICROS_PER_DAY)
    whole = np.concatenate([generated_day(seed, first_day + day) for day in range(days + 1)])
    skip = offset_us // STEP_US
    prices = whole[skip : skip + days * STEPS_PER_DAY]
    return PriceSeries(start_us, prices, f"generated, seed {seed}", generated=True, region="GEN1")


def generated_day(seed: int, day: int) -> F64:
    """The 288 prices of NEM day `day` (days since 1970-01-01), A$/MWh.

    A base that runs from midnight to midnight, a morning rise, a solar dip that is often negative, an evening peak,
    persistent noise, and on some days scarcity: the shape and the rarities of Victoria in 2024–25, seen in numbers.
    """
    rng = _day_rng(seed, day)
    hour = (np.arange(STEPS_PER_DAY) + 0.5) * 24.0 / STEPS_PER_DAY
    base = np.linspace(_midnight(seed, day), _midnight(seed, day + 1), STEPS_PER_DAY)
    morning = rng.lognormal(3.2, 0.6) * _bump(hour, 7.4, 1.2)
    dip = np.clip(rng.normal(98.0, 50.0), 0.0, 200.0) * _bump(hour, 12.4, 3.1)
    evening = rng.lognormal(4.3, 0.65) * _bump(hour, 18.1, 1.7)
    fade = np.minimum(1.0, np.minimum(hour, 24.0 - hour))
    noise = fade * _persistent(rng, 0.92, 16.0)
    prices: F64 = base + morning - dip + evening + noise + _scarcity(rng, hour)
    return prices.round(2).clip(PRICE_FLOOR_PER_MWH, PRICE_CAP_PER_MWH)


def _day_rng(seed: int, day: int, stream: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, day + 10**6, stream])


def _midnight(seed: int, day: int) -> float:
    return float(np.clip(_day_rng(seed, day, 1).normal(80.0, 45.0), -15.0, 220.0))


def _bump(hour: F64, centre: float, width: float) -> F64:
    bump: F64 = np.exp(-0.5 * ((hour - centre) / width) ** 2)
    return bump


def _persistent(rng: np.random.Generator, keep: float, spread: float) -> F64:
    """AR(1) noise over a day with stationary standard deviation `spread`."""
    shocks = rng.normal(0.0, spread * np.sqrt(1.0 - keep**2), STEPS_PER_DAY)
    level, noise = 0.0, np.empty(STEPS_PER_DAY)
    for step, shock in enumerate(shocks):
        level = keep * level + shock
        noise[step] = level
    return noise


def _scarcity(rng: np.random.Generator, hour: F64) -> F64:
    """On a quarter of days a few intervals at some hundreds, on one in forty at thousands; mostly in the evening."""
    chance, start, length = rng.uniform(), rng.normal(18.0, 1.5), int(rng.integers(1, 12))
    first = int(np.clip(np.searchsorted(hour, start), 0, STEPS_PER_DAY - length))
    added = np.zeros(STEPS_PER_DAY)
    added[first : first + length] = rng.lognormal(5.6, 0.5, length)
    if chance < 1 / 40:
        return added * 30.0
    return added if chance < 1 / 4 else np.zeros(STEPS_PER_DAY)


def gapless(times_us: I64, prices: F64, rows: I64, file: str, region: str) -> PriceSeries:
    """A series from interval starts and prices of one region; `rows` number them in the file for messages.

    Rows may come in any order and repeat with the same price; a gap, another step or two prices are `InvalidInput`.
    """
    order = np.argsort(times_us, kind="stable")
    times_us, prices, rows = times_us[order], prices[order], rows[order]
    repeated = np.diff(times_us) == 0
    differing = np.flatnonzero(repeated & (np.diff(prices) != 0.0))
    if differing.size:
        at = differing[0] + 1
        where = f"{file}, row {rows[at]}: RRP of {region} at {to_rfc3339(int(times_us[at]))}"
        bound = f"row {rows[at - 1]} gives {prices[at - 1]} for the same interval"
        raise InvalidInput(where, float(prices[at]), bound, "Keep one of the two rows.")
    keep = np.concatenate([[True], ~repeated])
    times_us, prices, rows = times_us[keep], prices[keep], rows[keep]
    odd = np.flatnonzero(np.diff(times_us) != STEP_US)
    if odd.size:
        at = odd[0] + 1
        where = (
            f"{file}, row {rows[at]}: minutes since the interval before, {to_rfc3339(int(times_us[at - 1]))}, {region}"
        )
        minutes = (times_us[at] - times_us[at - 1]) / (60 * MICROS_PER_S)
        raise InvalidInput(where, float(minutes), "must be 5", "Add the missing intervals or cut the file there.")
    return PriceSeries(int(times_us[0]), prices, f"{file} ({region})", generated=False, region=region)
