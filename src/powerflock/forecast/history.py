"""Half-hourly history of the last week with two times per fact, readable only through the availability guard.

`SlotHistory` keeps a ring of 7 days × 48 half-hours for S series. Each slot knows when it was valid (its number) and
when it became available; `as_of(now)` hides what was not yet available, and forecasts take nothing but that view.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import SLOTS_PER_DAY

DAYS = 7
SLOT_US = MICROS_PER_HOUR // 2
_RING = DAYS * SLOTS_PER_DAY
_NEVER = np.iinfo(np.int64).max


class SlotState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Finished slots as bytes, for a snapshot: `mean` (336, series) f4, `slot` and `available_us` (336,) i8."""

    series: int
    mean: bytes
    slot: bytes
    available_us: bytes


@dataclass(frozen=True, slots=True)
class AsOf:
    """What was available at one moment: `mean` (7, 48, S), NaN where unknown, and `slot` (7, 48) absolute slot numbers.

    The first two axes are ring positions: row d, column k holds the slot whose number is ≡ 48·d + k modulo 336.
    """

    now_us: int
    mean: F64
    slot: I64

    def by_time_of_day(self) -> F64:
        """(48, S) mean over the available days for each UTC half-hour; NaN where no day is known."""
        known = np.isfinite(self.mean)
        total = np.where(known, self.mean, 0.0).sum(axis=0)
        days = known.sum(axis=0)
        return np.where(days > 0, total / np.maximum(days, 1), np.nan)

    def middle_by_time_of_day(self) -> F64:
        """(48, S) mean over the available days without extreme ones (of 7 the middle 3); NaN where none is known."""
        ordered = np.sort(self.mean, axis=0)
        days = np.isfinite(ordered).sum(axis=0)
        cut = np.maximum(days - 1, 0) // 3
        rank = np.arange(ordered.shape[0])[:, None, None]
        kept = (rank >= cut) & (rank < days - cut)
        total = np.where(kept, ordered, 0.0).sum(axis=0)
        return np.where(days > 0, total / np.maximum(kept.sum(axis=0), 1), np.nan)


class SlotHistory:
    """Means by half-hour of S series, filled from samples in time order or imported whole."""

    def __init__(self, series: int) -> None:
        """An empty history of `series` series."""
        self._mean = np.full((_RING, series), np.nan)
        self._slot = np.full(_RING, -1, np.int64)
        self._available_us = np.full(_RING, _NEVER, np.int64)
        self._open = -1
        self._sum = np.zeros(series)
        self._seconds = np.zeros(series)

    @property
    def series(self) -> int:
        """S."""
        return int(self._mean.shape[1])

    def grow(self, series: int) -> None:
        """Add series, unknown so far, up to `series` in all."""
        more = series - self.series
        self._mean = np.pad(self._mean, ((0, 0), (0, more)), constant_values=np.nan)
        self._sum, self._seconds = np.pad(self._sum, (0, more)), np.pad(self._seconds, (0, more))

    def record(self, now_us: int, duration_us: int, value: F64) -> None:
        """Add samples `value` (S,), NaN unknown, valid for the `duration_us` that ended at `now_us`."""
        slot = (now_us - 1) // SLOT_US
        if slot != self._open:
            self._close(now_us)
            self._open = slot
        known = np.isfinite(value)
        self._sum += np.where(known, value, 0.0) * duration_us
        self._seconds += np.where(known, duration_us, 0)

    def put(self, slot: int, mean: F64, available_us: int) -> None:
        """Import one finished slot: `mean` (S,) of absolute half-hour number `slot`, known since `available_us`."""
        at = slot % _RING
        self._mean[at], self._slot[at], self._available_us[at] = mean, slot, available_us

    def as_of(self, now_us: int) -> AsOf:
        """The guard: only slots that were available at `now_us` and lie within the last 7 days; others are NaN."""
        newest = now_us // SLOT_US
        hidden = (self._available_us > now_us) | (self._slot < newest - _RING) | (self._slot >= newest + 1)
        mean = np.where(hidden[:, None], np.nan, self._mean)
        return AsOf(now_us, mean.reshape(DAYS, SLOTS_PER_DAY, -1), self._slot.reshape(DAYS, SLOTS_PER_DAY))

    def state(self) -> SlotState:
        """The finished slots; the open one begins again after a restart."""
        mean = self._mean.astype("<f4").tobytes()
        return SlotState(
            self.series, mean, self._slot.astype("<i8").tobytes(), self._available_us.astype("<i8").tobytes()
        )

    def restore(self, state: SlotState) -> None:
        """Take over finished slots; series added since stay unknown. More series than there are: `InvalidInput`."""
        if state.series > self.series:
            raise InvalidInput("history's series", state.series, f"must be at most the {self.series} there are")
        self._mean[:, : state.series] = np.frombuffer(state.mean, "<f4").reshape(_RING, state.series)
        self._slot = np.frombuffer(state.slot, "<i8").copy()
        self._available_us = np.frombuffer(state.available_us, "<i8").copy()

    def _close(self, now_us: int) -> None:
        if self._open < 0:
            return
        known = self._seconds > 0
        self.put(self._open, np.where(known, self._sum / np.maximum(self._seconds, 1), np.nan), now_us)
        self._sum[:], self._seconds[:] = 0.0, 0.0
