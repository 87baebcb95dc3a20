"""Owners' terms as columns: tariffs by UTC half-hour and batteries as the optimiser wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I32, I64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.registry import SiteTable
from powerflock.domain.site import SLOTS_PER_DAY, SiteSpec, Tariff
from powerflock.optimise.problem import Batteries

_SLOT_US = MICROS_PER_HOUR // 2


@dataclass(frozen=True, slots=True)
class Terms:
    """`import_per_kwh, export_per_kwh` (K, 48) by UTC half-hour, `tariff` (S,) row of each site; the rest (S,).

    `place` (S,) is the row of each site's `latitude, longitude` (L,).
    """

    import_per_kwh: F64
    export_per_kwh: F64
    tariff: I32
    wear_per_kwh: F64
    solar_kw: F64
    daily_load_kwh: F64
    utc_offset_minutes: I32
    place: I32
    latitude: F64
    longitude: F64

    @staticmethod
    def of(specs: Sequence[SiteSpec]) -> Terms:
        """The specs of one partition, in row order. Places are sites' coordinates rounded to a tenth of a degree."""
        numbers: dict[Tariff, int] = {}
        shared = {id(spec.tariff): spec.tariff for spec in specs}  # so that few are compared by their 96 prices
        number = {key: numbers.setdefault(tariff, len(numbers)) for key, tariff in shared.items()}
        books: dict[tuple[int, int], int] = {}
        places: dict[tuple[float, float], int] = {}
        tariff, place = [], []
        for spec in specs:
            tariff.append(books.setdefault((number[id(spec.tariff)], spec.utc_offset_minutes), len(books)))
            place.append(places.setdefault((round(spec.latitude, 1), round(spec.longitude, 1)), len(places)))
        stored = [spec.storage for spec in specs]
        sample = dict(zip(tariff, specs, strict=True))
        return Terms(
            np.array([_utc(sample[row].tariff.import_per_kwh, sample[row]) for row in range(len(books))]).reshape(
                -1, 48
            ),
            np.array([_utc(sample[row].tariff.export_per_kwh, sample[row]) for row in range(len(books))]).reshape(
                -1, 48
            ),
            np.array(tariff, np.int32),
            np.array([storage.wear_per_kwh if storage else 0.0 for storage in stored]),
            np.array([spec.rated_solar_kw for spec in specs]),
            np.array([spec.daily_load_kwh for spec in specs]),
            np.array([spec.utc_offset_minutes for spec in specs], np.int32),
            np.array(place, np.int32),
            np.array([latitude for latitude, _ in places]),
            np.array([longitude for _, longitude in places]),
        )

    def prices(self, times_us: I64) -> tuple[F64, F64]:
        """(K, T) import and export prices in the half-hours that hold `times_us` (T,)."""
        slot = (times_us // _SLOT_US) % SLOTS_PER_DAY
        return np.ascontiguousarray(self.import_per_kwh[:, slot]), np.ascontiguousarray(self.export_per_kwh[:, slot])

    def site_prices(self, time_us: int) -> tuple[F64, F64]:
        """(S,) import and export price of each site in the half-hour that holds `time_us`."""
        slot = (time_us // _SLOT_US) % SLOTS_PER_DAY
        return self.import_per_kwh[self.tariff, slot], self.export_per_kwh[self.tariff, slot]


def _utc(prices: tuple[float, ...], spec: SiteSpec) -> F64:
    """Local half-hours → UTC half-hours."""
    return np.roll(np.array(prices, np.float64), -(spec.utc_offset_minutes // 30))


def batteries(table: SiteTable, wear_per_kwh: F64, net_load_kw: F64) -> Batteries:
    """Nameplate batteries of all S sites, with the connection's limits widened to what load and sun alone need.

    `net_load_kw` is (S,) or (S, T). Without curtailment nothing can hold a connection within a limit that the house
    alone breaks; the battery then has to keep the breach from growing.
    """
    high = net_load_kw if net_load_kw.ndim == 1 else net_load_kw.max(axis=1)
    low = net_load_kw if net_load_kw.ndim == 1 else net_load_kw.min(axis=1)
    return Batteries(
        table.charge_limit_kw, table.discharge_limit_kw, table.charge_efficiency_ratio,
        table.discharge_efficiency_ratio, wear_per_kwh, table.reserve_kwh, table.capacity_kwh,
        np.maximum(table.import_limit_kw, high), np.maximum(table.export_limit_kw, -low),
        np.zeros(table.sites), np.zeros(table.sites),
    )  # fmt: skip
