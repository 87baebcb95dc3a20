"""What the ring expects: the outlook's port, and the honest baseline behind it.

`ahead` is for plans, `nowcast` for the interval at hand (the last measurement, moved along the daily shape). The
baseline learns from what the twins see and reads its history through the availability guard only.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.domain.errors import DamagedSnapshot, InvalidInput
from powerflock.domain.site import SLOTS_PER_DAY
from powerflock.forecast.history import SLOT_US, SlotHistory, SlotState
from powerflock.forecast.models import (
    PRICE_ERROR_HALF_LIFE_HOURS,
    STEPS_PER_DAY,
    RecentError,
    RecentSky,
    base_load_kw,
    base_price_per_mwh,
    base_solar_kw,
    clear_sky_day,
    lead_hours,
    neighbours_kw,
    net_load_ahead_kw,
    solar_yield_ratio,
    typical_load_kw,
)
from powerflock.plant.terms import Terms
from powerflock.twins.estimate import SiteColumns

_SPIKE_PER_MWH = 300.0
"""A price further from the usual is scarcity: it says no more about the hours ahead than this."""


class Outlook(Protocol):
    """Forecasts by partition; times are interval starts in µs UTC."""

    def enrol(self, partition: int, terms: Terms) -> None:
        """The partition now has these sites."""

    def learn(self, partition: int, now_us: int, duration_us: int, columns: SiteColumns) -> None:
        """What the twins saw over the `duration_us` that ended now."""

    def learn_price(self, now_us: int, duration_us: int, spot_per_mwh: float) -> None:
        """The spot price of the `duration_us` that ended now."""

    def ahead(self, partition: int, now_us: int, times_us: I64) -> F64:
        """(S, T) expected net load (load + solar), kW passive."""

    def nowcast(self, partition: int, now_us: int, at_us: int, columns: SiteColumns) -> F64:
        """(S,) expected net load in the interval that starts at or holds `at_us`; NaN where nothing is known."""

    def spot_ahead(self, now_us: int, times_us: I64) -> F64:
        """(T,) expected spot price, $/MWh."""

    def dump(self) -> bytes:
        """What was learned, for a snapshot."""

    def load(self, payload: bytes) -> None:
        """Take over what `dump` gave, after the sites are enrolled; `DamagedSnapshot` where it is not that."""


class _LearnedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    load: SlotState
    solar: SlotState
    load_error: list[float]
    sky_given: list[float]
    sky_expected: list[float]


class _Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[_LearnedPart | None, ...]
    price: SlotState
    price_error: list[float]


_LEARNED = msgspec.msgpack.Decoder(_Learned)


class _Part:
    """One partition's learned state."""

    def __init__(self, terms: Terms) -> None:
        self.load = SlotHistory(terms.tariff.size)
        self.solar = SlotHistory(terms.tariff.size)
        self.adopt(terms)
        self.load_error = RecentError(np.zeros(terms.tariff.size))
        self.sky_lately = RecentSky(np.zeros(terms.tariff.size), np.zeros(terms.tariff.size))

    def learned(self) -> _LearnedPart:
        """For a snapshot."""
        given, expected = self.sky_lately.given.tolist(), self.sky_lately.expected.tolist()
        error = self.load_error.value.tolist()
        return _LearnedPart(self.load.state(), self.solar.state(), error, given, expected)

    def take_over(self, known: _LearnedPart) -> None:
        """What an earlier process had learned; sites enrolled since stay unknown."""
        self.load.restore(known.load)
        self.solar.restore(known.solar)
        sites = self.load_error.value.size
        self.load_error.value = np.array(known.load_error)
        self.sky_lately.given, self.sky_lately.expected = np.array(known.sky_given), np.array(known.sky_expected)
        self.load_error.grow(sites)
        self.sky_lately.grow(sites)

    def adopt(self, terms: Terms) -> None:
        """New or changed sites: known ones keep what was learned."""
        self.terms = terms
        self.prior_kw = typical_load_kw(terms.daily_load_kwh, terms.utc_offset_minutes)
        self.slot = -MICROS_PER_DAY
        self.load_kw, self.yield_ratio, self.sky = np.empty(0), np.empty(0), np.empty(0)

    def refresh(self, now_us: int) -> None:
        """Each half-hour: the base day, (S, 48) load by UTC half-hour, and the roofs' yields; each day: the sky."""
        if now_us // SLOT_US == self.slot:
            return
        if now_us // MICROS_PER_DAY != self.slot * SLOT_US // MICROS_PER_DAY:
            self.sky = clear_sky_day(self.terms.latitude, self.terms.longitude, now_us)
        self.slot = now_us // SLOT_US
        day = (np.arange(SLOTS_PER_DAY) * SLOT_US).astype(np.int64)
        self.load_kw = base_load_kw(self.load.as_of(now_us), self.prior_kw, day)
        by_slot = self.sky.reshape(-1, SLOTS_PER_DAY, STEPS_PER_DAY // SLOTS_PER_DAY).mean(axis=2)
        self.yield_ratio = solar_yield_ratio(self.solar.as_of(now_us), by_slot, self.terms.place, self.terms.solar_kw)

    def base(self, times_us: I64) -> tuple[F64, F64]:
        """(S, T) load and solar before any correction."""
        sky = self.sky[:, (times_us // (MICROS_PER_DAY // STEPS_PER_DAY)) % STEPS_PER_DAY]
        slot = (times_us // SLOT_US) % SLOTS_PER_DAY
        return self.load_kw[:, slot], base_solar_kw(
            self.yield_ratio[:, slot], self.terms.solar_kw, sky, self.terms.place
        )

    def ahead(self, now_us: int, times_us: I64) -> F64:
        """(S, T) net load with what was seen lately."""
        terms, share = self.terms, self.sky_lately.share(self.terms.solar_kw)
        return net_load_ahead_kw(
            (self.load_kw, self.load_error.value), self.yield_ratio, terms.solar_kw, self.sky, terms.place, share,
            times_us, lead_hours(times_us, now_us),
        )  # fmt: skip


class BaselineOutlook:
    """7-day means with recent-error correction, clear-sky scaled; the prior of each site until it has a history."""

    def __init__(self, partitions: int, usual_spot_per_mwh: float = 80.0) -> None:
        """Nothing learned yet; `usual_spot_per_mwh` stands in for prices until there is a history."""
        self._parts: list[_Part | None] = [None] * partitions
        self._price = SlotHistory(1)
        self._price_error = RecentError(np.zeros(1), PRICE_ERROR_HALF_LIFE_HOURS)
        self._usual = usual_spot_per_mwh

    def enrol(self, partition: int, terms: Terms) -> None:
        """See `Outlook`."""
        part = self._parts[partition]
        if part is None:
            self._parts[partition] = _Part(terms)
            return
        for history in (part.load, part.solar):
            history.grow(terms.tariff.size)
        part.load_error.grow(terms.tariff.size)
        part.sky_lately.grow(terms.tariff.size)
        part.adopt(terms)

    def import_history(self, partition: int, slot: int, load_kw: F64, solar_kw: F64, available_us: int) -> None:
        """Meter data from before: mean powers (S,) of absolute half-hour `slot`, known since `available_us`."""
        part = self._part(partition)
        part.load.put(slot, load_kw, available_us)
        part.solar.put(slot, solar_kw, available_us)

    def import_price(self, slot: int, spot_per_mwh: float, available_us: int) -> None:
        """A past half-hour's mean spot price."""
        self._price.put(slot, np.array([spot_per_mwh]), available_us)

    def learn(self, partition: int, now_us: int, duration_us: int, columns: SiteColumns) -> None:
        """See `Outlook`."""
        part = self._part(partition)
        part.load.record(now_us, duration_us, columns.load_kw)
        part.solar.record(now_us, duration_us, columns.solar_kw)
        part.refresh(now_us)
        load, solar = part.base(np.array([now_us - duration_us // 2], np.int64))
        hours = duration_us / MICROS_PER_HOUR
        part.load_error.update(np.where(np.isnan(columns.load_kw), load[:, 0], columns.load_kw), load[:, 0], hours)
        part.sky_lately.update(neighbours_kw(columns.solar_kw, solar[:, 0], part.terms.place), solar[:, 0], hours)

    def learn_price(self, now_us: int, duration_us: int, spot_per_mwh: float) -> None:
        """See `Outlook`."""
        seen = np.array([spot_per_mwh])
        base = base_price_per_mwh(self._price.as_of(now_us), np.array([now_us - duration_us], np.int64), self._usual)
        self._price.record(now_us, duration_us, seen)
        usual = base + np.clip(seen - base, -_SPIKE_PER_MWH, _SPIKE_PER_MWH)
        self._price_error.update(usual, base, duration_us / MICROS_PER_HOUR)

    def ahead(self, partition: int, now_us: int, times_us: I64) -> F64:
        """See `Outlook`."""
        part = self._part(partition)
        part.refresh(now_us)
        return part.ahead(now_us, times_us)

    def nowcast(self, partition: int, now_us: int, at_us: int, columns: SiteColumns) -> F64:
        """See `Outlook`."""
        if at_us <= now_us:
            return columns.net_load_kw
        part = self._part(partition)
        part.refresh(now_us)
        load, solar = part.base(np.array([now_us, at_us], np.int64))
        solar *= part.sky_lately.share(part.terms.solar_kw)[:, None]
        return columns.net_load_kw + (load + solar)[:, 1] - (load + solar)[:, 0]

    def spot_ahead(self, now_us: int, times_us: I64) -> F64:
        """See `Outlook`."""
        base = base_price_per_mwh(self._price.as_of(now_us), times_us, self._usual)
        return np.asarray(base + self._price_error.ahead(lead_hours(times_us, now_us))[0])

    def dump(self) -> bytes:
        """See `Outlook`."""
        parts = tuple(part.learned() if part else None for part in self._parts)
        return msgspec.msgpack.encode(_Learned(parts, self._price.state(), self._price_error.value.tolist()))

    def load(self, payload: bytes) -> None:
        """See `Outlook`."""
        try:
            learned = _LEARNED.decode(payload)
            self._price.restore(learned.price)
            self._price_error.value = np.array(learned.price_error)
            for part, known in zip(self._parts, learned.parts, strict=True):
                if part is not None and known is not None:
                    part.take_over(known)
        except (msgspec.DecodeError, InvalidInput, ValueError) as error:
            raise DamagedSnapshot(f"what the outlook had learned cannot be read: {error}") from error

    def _part(self, partition: int) -> _Part:
        part = self._parts[partition]
        assert part is not None, f"partition {partition} has no sites yet"
        return part
