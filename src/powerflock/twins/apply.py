"""Readings and site events into twins: each batch is applied once, in any order, however often it is delivered.

Invariants: a device's row is, whole, its reading with the highest `seq`: what that reading does not know (NaN) is
unknown now, whatever was known before. So any order and any repetition of the same readings end in the same state.
Every row of a batch gets exactly one verdict. A site's answer and link are likewise those with the highest `seq`.
Must not know where batches come from, nor the time but as passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.prefetch import prefetch
from powerflock.domain.arrays import F64, I64, U8, Bools, Records
from powerflock.domain.batches import Violation, validate
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import SITE_EVENT, TELEMETRY, TELEMETRY_SCHEMA, DeviceKind, SiteEventKind
from powerflock.domain.errors import InvalidInput
from powerflock.twins.columns import ANSWER_APPLIED, Link, Shard

FUTURE_US = 60 * MICROS_PER_S
"""How far a device's clock may run ahead of ours."""


ALL_SITES = 2**32 - 1
"""The `site` of an event that concerns every site whose link was at the event's gateway."""


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

    Refused are rows that break the telemetry schema (or, unnamed in `violations`, its narrower ranges for the device's
    kind), name a device the shard does not have, or are valid more than 60 s after `now_us`. Raises `InvalidInput`
    where `batch` is not of dtype `TELEMETRY`.
    """
    if batch.dtype != TELEMETRY:
        raise InvalidInput("telemetry batch's dtype", str(batch.dtype), f"must be {TELEMETRY}")
    rows, kinds = np.ascontiguousarray(batch), shard.table.device_kind
    invalid: Bools = np.zeros(batch.size, np.bool_)
    violations: tuple[Violation, ...] = ()
    if not _within(
        rows, _WHOLE, _REAL
    ):  # the usual batch breaks no rule, and this is six times faster than to ask which
        violations = tuple(validate(batch, TELEMETRY_SCHEMA))
    for violation in violations:
        invalid[violation.rows] = True
    verdicts: U8 = np.empty(batch.size, np.uint8)
    _apply(shard.devices, kinds, rows, invalid, now_us + FUTURE_US, _BOUNDS, verdicts)
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


def desire(shard: Shard, commands: Records) -> None:
    """Note what the sites of the (N,) `COMMAND` rows were told; an older command than the one noted changes nothing."""
    sites, rows = shard.sites, commands["site"]
    commands = commands[(rows < sites.size)]
    commands = commands[commands["seq"] > sites["desired_seq"][commands["site"]]]
    rows = commands["site"]
    sites["previous_seq"][rows], sites["previous_kw"][rows] = sites["desired_seq"][rows], sites["desired_kw"][rows]
    sites["desired_seq"][rows], sites["desired_kw"][rows] = commands["seq"], commands["setpoint_kw"]
    sites["desired_us"][rows], sites["expires_us"][rows] = commands["not_before_us"], commands["expires_us"]


def note(shard: Shard, events: Records) -> int:
    """Apply the (N,) `SITE_EVENT` rows: links and answers to commands; returns how many changed something."""
    if events.dtype != SITE_EVENT:
        raise InvalidInput("site events' dtype", str(events.dtype), f"must be {SITE_EVENT}")
    return int(_note(shard.sites, np.ascontiguousarray(events)))


def _bounds() -> F64:
    """(kinds, 4) lowest and highest power, lowest and highest energy, of each kind of device; numbers of the schema."""
    bounds = np.tile(np.array([-np.inf, np.inf]), (len(DeviceKind), 2))
    for column in TELEMETRY_SCHEMA.columns:
        for kind, low, high in column.kinds:
            at = 0 if column.name == "power_kw" else 2
            bounds[kind, at : at + 2] = low, high
    return bounds


def _ranges(names: tuple[str, ...]) -> list[tuple[float, float]]:
    """Lowest and highest value of each column of telemetry, as its dtype has them."""
    columns = {column.name: column for column in TELEMETRY_SCHEMA.columns}
    dtypes = {name: TELEMETRY[name].type for name in names}
    return [(dtypes[name](columns[name].low).item(), dtypes[name](columns[name].high).item()) for name in names]


_BOUNDS = _bounds()
_WHOLE: I64 = np.array(_ranges(("device", "seq", "time_us", "received_us")), np.int64)
_REAL: F64 = np.array(
    _ranges(("power_kw", "energy_kwh", "charge_limit_kw", "discharge_limit_kw", "capacity_kwh")), np.float64
)
_UP, _DOWN = int(SiteEventKind.LINK_UP), int(SiteEventKind.LINK_DOWN)
_APPLIED_EVENT, _LINK_UP, _LINK_DOWN = int(SiteEventKind.APPLIED), int(Link.UP), int(Link.DOWN)
_ANSWER_APPLIED, _ALL_SITES = ANSWER_APPLIED, ALL_SITES
_AHEAD = 32
"""How many readings ahead a device's row is fetched: in random order they are then applied twice as fast."""


@kernel
def _note(sites: Records, events: Records) -> int:
    changed = 0
    for i in range(events.size):
        event = events[i]
        first, end = event.site, event.site + 1
        if event.site == _ALL_SITES:
            first, end = 0, sites.size
        for row in range(first, min(end, sites.size)):
            site = sites[row]
            if event.kind > _DOWN:
                if event.seq > site.answered_seq:
                    site.answered_seq, site.answered_us = event.seq, event.time_us
                    site.answer = event.kind - _APPLIED_EVENT + _ANSWER_APPLIED
                    changed += 1
            elif _changes_link(sites, row, events, i):
                site.link = _LINK_UP if event.kind == _UP else _LINK_DOWN
                if event.site != _ALL_SITES:
                    site.link_seq = event.seq
                site.link_us, site.gateway = event.time_us, event.gateway
                changed += 1
    return changed


@kernel
def _changes_link(sites: Records, row: int, events: Records, i: int) -> bool:
    """A site that has gone over to another gateway is not lost when the old one notices."""
    site, event = sites[row], events[i]
    if event.kind == _UP:
        return bool(event.gateway != site.gateway or event.seq > site.link_seq)
    last = event.site == _ALL_SITES or event.seq >= site.link_seq
    return bool(event.gateway == site.gateway and last and site.link == _LINK_UP)


@kernel
def _within(batch: Records, whole: I64, real: F64) -> bool:
    """Whether every value lies between the `whole` (4, 2) and `real` (5, 2) bounds of its column, or is NaN."""
    sound = True
    for i in range(batch.size):
        row = batch[i]
        sound &= (row.device >= whole[0, 0]) & (row.device <= whole[0, 1])
        sound &= (row.seq >= whole[1, 0]) & (row.seq <= whole[1, 1])
        sound &= (row.time_us >= whole[2, 0]) & (row.time_us <= whole[2, 1])
        sound &= (row.received_us >= whole[3, 0]) & (row.received_us <= whole[3, 1])
        sound &= not ((row.power_kw < real[0, 0]) | (row.power_kw > real[0, 1]))
        sound &= not ((row.energy_kwh < real[1, 0]) | (row.energy_kwh > real[1, 1]))
        sound &= not ((row.charge_limit_kw < real[2, 0]) | (row.charge_limit_kw > real[2, 1]))
        sound &= not ((row.discharge_limit_kw < real[3, 0]) | (row.discharge_limit_kw > real[3, 1]))
        sound &= not ((row.capacity_kwh < real[4, 0]) | (row.capacity_kwh > real[4, 1]))
    return sound


@kernel
def _possible(power_kw: float, energy_kwh: float, bounds: F64, kind: int) -> bool:
    """Whether a device of this kind can say so; what is unknown can."""
    if power_kw < bounds[kind, 0] or power_kw > bounds[kind, 1]:
        return False
    return not (energy_kwh < bounds[kind, 2] or energy_kwh > bounds[kind, 3])


@kernel
def _apply(
    devices: Records, kinds: U8, batch: Records, invalid: Bools, horizon_us: int, bounds: F64, verdicts: U8
) -> None:  # fmt: skip
    """Give each row its verdict; what its device has is fetched well before, because devices come in any order."""
    last = batch.size - 1
    for i in range(batch.size):
        soon = batch[min(i + _AHEAD, last)].device
        prefetch(devices, soon)
        prefetch(kinds, soon)
        row = batch[i]
        if invalid[i]:
            verdicts[i] = _INVALID
        elif row.device >= devices.size:
            verdicts[i] = _UNKNOWN
        elif row.time_us > horizon_us:
            verdicts[i] = _FUTURE
        elif row.seq <= devices[row.device].seq:
            verdicts[i] = _DUPLICATE if row.seq == devices[row.device].seq else _LATE
        elif not _possible(row.power_kw, row.energy_kwh, bounds, kinds[row.device]):
            verdicts[i] = _INVALID
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
