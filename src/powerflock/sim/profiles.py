"""What each home would use and generate, as columns: 5-minute steps of load and solar, held within a step.

Invariants: load is ≥ 0 unless it comes from a net meter, solar is ≤ 0 (passive); the span is whole days, so that it
repeats seamlessly for ever, day after day. Must not know batteries or commands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F32, F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_S
from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import SiteSpec

STEP_US = 300 * MICROS_PER_S
STEPS_PER_DAY = MICROS_PER_DAY // STEP_US


@dataclass(frozen=True, slots=True)
class Profiles:
    """`load_kw` and `solar_kw` are (S, T) float32; column j holds over [start_us + j·step_us, + step_us)."""

    start_us: int
    load_kw: F32
    solar_kw: F32
    step_us: int = STEP_US

    def __post_init__(self) -> None:
        """Refuse shapes that differ, spans that are not whole days, unknown values and generation above zero."""
        if self.load_kw.shape != self.solar_kw.shape or self.load_kw.ndim != 2:
            shapes = (self.load_kw.shape, self.solar_kw.shape)
            raise InvalidInput("profile shapes of load and solar", shapes, "must be equal and (homes, steps)")
        span_us = self.load_kw.shape[1] * self.step_us
        if span_us == 0 or span_us % MICROS_PER_DAY:
            raise InvalidInput("profile length in days", span_us / MICROS_PER_DAY, "must be whole", "Cut or extend it.")
        if not (np.isfinite(self.load_kw).all() and np.isfinite(self.solar_kw).all()):
            raise InvalidInput("profile", "NaN or infinite", "every step must be known", "Fill the gaps first.")
        if self.solar_kw.size and self.solar_kw.max() > 0.0:
            raise InvalidInput("solar profile", float(self.solar_kw.max()), "must be 0 kW or less (passive sign)")

    @property
    def days(self) -> int:
        """Whole days until the profile repeats."""
        return int(self.load_kw.shape[1]) * self.step_us // MICROS_PER_DAY

    def index(self, time_us: int) -> int:
        """Column that holds at `time_us`; outside the span the profile repeats by its whole days."""
        return (time_us - self.start_us) // self.step_us % int(self.load_kw.shape[1])

    def step_end_us(self, time_us: int) -> int:
        """First time after `time_us` at which the column changes."""
        return time_us + self.step_us - (time_us - self.start_us) % self.step_us

    def at(self, time_us: int) -> tuple[F64, F64]:
        """(load, solar) that hold at `time_us`, both (S,) kW, passive."""
        column = self.index(time_us)
        return self.load_kw[:, column].astype(np.float64), self.solar_kw[:, column].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Homes: `specs[i]` describes row i of the profiles; `source` says where they come from."""

    specs: list[SiteSpec]
    profiles: Profiles
    source: str
