"""Time as a value: int64 microseconds UTC, and the clocks that shells pass into the pure core.

Invariants: a clock never runs backwards; intervals are half-open `[start, end)`. Must not be read by pure functions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from powerflock.domain.errors import InvalidInput

MICROS_PER_S = 1_000_000
MICROS_PER_HOUR = 3_600 * MICROS_PER_S
MICROS_PER_DAY = 24 * MICROS_PER_HOUR


class Clock(Protocol):
    """What a shell needs to know about time."""

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second; 1 in production."""

    def now_us(self) -> int:
        """Microseconds UTC."""


class SystemClock:
    """Wall time."""

    speed = 1.0

    def now_us(self) -> int:
        """Microseconds UTC by the machine's clock."""
        return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Time that starts at `start_us` when the wall shows `wall_us` and runs `speed` times as fast."""

    start_us: int
    wall_us: int
    speed: float

    def now_us(self) -> int:
        """Microseconds UTC in the scaled time."""
        return self.start_us + int((time.time_ns() // 1_000 - self.wall_us) * self.speed)


@dataclass(slots=True)
class VirtualClock:
    """Time that moves only when told; for simulation, backtests and tests."""

    time_us: int
    speed: float = 1.0

    def now_us(self) -> int:
        """The time last set."""
        return self.time_us

    def advance(self, step_us: int) -> int:
        """Move forward by `step_us` and return the new time."""
        if step_us < 0:
            raise InvalidInput("clock step", step_us, "must be 0 µs or more", "A clock never runs backwards.")
        self.time_us += step_us
        return self.time_us


def interval_start_us(time_us: int, length_us: int) -> int:
    """Start of the half-open interval of `length_us` that holds `time_us`."""
    return time_us - time_us % length_us


def to_rfc3339(time_us: int) -> str:
    """`2026-01-02T03:04:05.678Z`, millisecond precision, UTC."""
    stamp = datetime.fromtimestamp(time_us / MICROS_PER_S, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def from_rfc3339(text: str) -> int:
    """Microseconds UTC of an RFC 3339 time; a time without an offset is refused."""
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("time", text, "must be RFC 3339, e.g. 2026-01-02T03:04:05Z") from error
    if stamp.tzinfo is None:
        raise InvalidInput("time", text, "must carry an offset", "Append Z for UTC.")
    return round(stamp.timestamp() * MICROS_PER_S)
