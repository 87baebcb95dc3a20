"""Readings into twins: each batch is applied once, in any order, however often it is delivered.

Invariants: a device's row is, whole, its reading with the highest `seq`: what that reading does not know (NaN) is
unknown now, whatever was known before. So any order and any repetition of the same readings end in the same state.
Every row of a batch gets exactly one verdict. Must not know where batches come from, nor the time but as passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import I64, U8, Bools, Records
from powerflock.domain.batches import Violation, validate
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import TELEMETRY, TELEMETRY_SCHEMA
from powerflock.domain.errors import InvalidInput
from powerflock.twins.columns import Shard

FUTURE_US = 60 * MICROS_PER_S
"""How far a device's clock may run ahead of ours."""


class Verdict(IntEnum):
    """What became of one row of a batch."""

    APPLIED = 0
    DUPLICATE = 1
    LATE = 2
    UNKNOWN = 3
    FUTURE = 4
    INVALID = 5


_APPLIED, _DUPLICATE, _LATE, _UNKNOWN, _FUTURE, _INVALID = (int(verdict) for verdict in Verdict)


@dataclass(frozen=True, slots=True, eq=False)
class StepReport:
    """How many of a batch's `rows` met each fate, and which device numbers (ascending, once each) were refused.

    `duplicate` has the watermark's own seq, `late` a lower one: both are dropped, the state is newer.
    """

    rows: int
    applied: int
    duplicate: int
    late: int
    unknown: int
    future: int
    invalid: int
    unknown_devices: I64
    future_devices: I64
    invalid_devices: I64
    violations: tuple[Violation, ...]


def step(shard: Shard, batch: Records, now_us: int) -> StepReport:
    """Apply the (N,) telemetry `batch` to the shard in place.

    Refused are rows that break the telemetry schema, name a device the shard does not have, or are valid more than
    60 s after `now_us`. Raises `InvalidInput` where `batch` is not of dtype `TELEMETRY`.
    """
    if batch.dtype != TELEMETRY:
        raise InvalidInput("telemetry batch's dtype", str(batch.dtype), f"must be {TELEMETRY}")
    violations = tuple(validate(batch, TELEMETRY_SCHEMA))
    invalid: Bools = np.zeros(batch.size, np.bool_)
    for violation in violations:
        invalid[violation.rows] = True
    verdicts: U8 = np.empty(batch.size, np.uint8)
    _apply(shard.devices, np.ascontiguousarray(batch), invalid, now_us + FUTURE_US, verdicts)
    return _report(batch, verdicts, violations)


def _report(batch: Records, verdicts: U8, violations: tuple[Violation, ...]) -> StepReport:
    counts = np.bincount(verdicts, minlength=len(Verdict))
    return StepReport(
        rows=batch.size,
        applied=int(counts[Verdict.APPLIED]),
        duplicate=int(counts[Verdict.DUPLICATE]),
        late=int(counts[Verdict.LATE]),
        unknown=int(counts[Verdict.UNKNOWN]),
        future=int(counts[Verdict.FUTURE]),
        invalid=int(counts[Verdict.INVALID]),
        unknown_devices=_devices(batch, verdicts, Verdict.UNKNOWN, int(counts[Verdict.UNKNOWN])),
        future_devices=_devices(batch, verdicts, Verdict.FUTURE, int(counts[Verdict.FUTURE])),
        invalid_devices=_devices(batch, verdicts, Verdict.INVALID, int(counts[Verdict.INVALID])),
        violations=violations,
    )


def _devices(batch: Records, verdicts: U8, verdict: Verdict, count: int) -> I64:
    """The devices that met `verdict`; the usual batch has none, and is not searched."""
    return np.unique(batch["device"][verdicts == verdict]).astype(np.int64) if count else np.empty(0, np.int64)


@kernel
def _apply(devices: Records, batch: Records, invalid: Bools, horizon_us: int, verdicts: U8) -> None:
    for i in range(batch.size):
        row = batch[i]
        if invalid[i]:
            verdicts[i] = _INVALID
        elif row.device >= devices.size:
            verdicts[i] = _UNKNOWN
        elif row.time_us > horizon_us:
            verdicts[i] = _FUTURE
        elif row.seq <= devices[row.device].seq:
            verdicts[i] = _DUPLICATE if row.seq == devices[row.device].seq else _LATE
        else:
            device = devices[row.device]
            device.seq = row.seq
            device.time_us = row.time_us
            device.energy_kwh = row.energy_kwh
            device.power_kw = row.power_kw
            device.charge_limit_kw = row.charge_limit_kw
            device.discharge_limit_kw = row.discharge_limit_kw
            device.capacity_kwh = row.capacity_kwh
            verdicts[i] = _APPLIED
