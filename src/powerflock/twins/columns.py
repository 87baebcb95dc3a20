"""A shard: what the devices and sites of one partition last said and were last told, as columns.

Invariants: one row per device number and one per site row of the table; `seq` is the watermark, -1 before the first
reading. A device's row is 40 bytes side by side, whatever its kind, because readings come in random order and one row
then costs one or two cache lines: measured at a million devices, 47 M updates a second per core against 22 M with an
array per column. Must not know the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I64, Records
from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import SiteTable

NEVER = -1
"""The watermark of a device that has not reported."""
ANSWER_APPLIED = 1
"""`answer` of an edge that holds the command; 2 is refused, 3 expired, 0 none yet."""

DEVICE = np.dtype(
    [
        ("seq", "<i8"),
        ("time_us", "<i8"),
        ("energy_kwh", "<f8"),
        ("power_kw", "<f4"),
        ("charge_limit_kw", "<f4"),
        ("discharge_limit_kw", "<f4"),
        ("capacity_kwh", "<f4"),
    ]
)
"""A device as last reported: the fields of telemetry, with the same units, signs and meaning of NaN."""


class Link(IntEnum):
    """Whether a site's edge has a session."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2


SITE = np.dtype(
    [
        ("desired_seq", "<i8"),
        ("desired_us", "<i8"),
        ("expires_us", "<i8"),
        ("previous_seq", "<i8"),
        ("answered_seq", "<i8"),
        ("answered_us", "<i8"),
        ("link_seq", "<i8"),
        ("link_us", "<i8"),
        ("desired_kw", "<f4"),
        ("previous_kw", "<f4"),
        ("gateway", "<u4"),
        ("answer", "u1"),
        ("link", "u1"),
    ]
)
"""A site's connection as it was last told (desired), as its edge last answered, and its link; seq -1: never.

The command before the newest one is kept, because its answer may come after the newest was issued.
"""


@dataclass(slots=True, eq=False)
class Shard:
    """One partition's state: `devices` (D,) of `DEVICE`, `sites` (S,) of `SITE`, changed in place, and the `table`."""

    table: SiteTable
    devices: Records
    sites: Records

    @staticmethod
    def empty() -> Shard:
        """A partition without sites."""
        return Shard(SiteTable.empty(), unseen(0), untold(0))

    @staticmethod
    def of(table: SiteTable) -> Shard:
        """A shard of the table's sites, none of which has reported."""
        return Shard(table, unseen(table.devices), untold(table.sites))

    def copy(self) -> Shard:
        """The shard as it stands, of the same table (tables never change); a memory copy, nothing per row."""
        return Shard(self.table, self.devices.copy(), self.sites.copy())

    @property
    def nbytes(self) -> int:
        """Bytes that all columns hold, the table's among them."""
        table = (getattr(self.table, name) for name in self.table.__slots__ if name != "places")
        return int(self.devices.nbytes + self.sites.nbytes + sum(column.nbytes for column in table))


def unseen(devices: int) -> Records:
    """(D,) rows of dtype `DEVICE` that have not reported: everything unknown."""
    row = np.array((NEVER, 0, np.nan, np.nan, np.nan, np.nan, np.nan), DEVICE)
    rows: Records = np.full(devices, row, DEVICE)
    return rows


def untold(sites: int) -> Records:
    """(S,) rows of dtype `SITE` that were told nothing and of whose link nothing is known."""
    row = np.array((NEVER, 0, 0, NEVER, NEVER, 0, NEVER, 0, np.nan, np.nan, 0, 0, Link.UNKNOWN), SITE)
    rows: Records = np.full(sites, row, SITE)
    return rows


def enrol(shard: Shard, table: SiteTable) -> None:
    """Give the shard the registry's newest `table`: new devices start unseen, known ones keep what they reported.

    Raises `InvalidInput` where the table has not grown out of the shard's own (another partition's, or an older one).
    """
    known = shard.devices.size
    same = np.array_equal(table.device_site[:known], shard.table.device_site) and np.array_equal(
        table.device_kind[:known], shard.table.device_kind
    )
    if not same:
        bound = f"must begin with the {known} devices that the shard has"
        raise InvalidInput("site table's devices", table.devices, bound, "Is it this partition's newest table?")
    if table.devices > known:
        shard.devices = np.concatenate((shard.devices, unseen(table.devices - known)))
    if table.sites > shard.sites.size:
        shard.sites = np.concatenate((shard.sites, untold(table.sites - shard.sites.size)))
    shard.table = table


def applied_kw(sites: Records) -> F64:
    """(S,) the setpoint that each edge last confirmed to hold; NaN where it confirmed none of the last two."""
    held = np.empty(sites.size)
    _all_held(np.ascontiguousarray(sites), held)
    return held


@kernel
def held_kw(sites: Records, row: int) -> float:
    """The setpoint that the edge of the site in `row` last confirmed to hold; NaN if none of the last two."""
    site = sites[row]
    if site.answer == ANSWER_APPLIED and site.answered_seq >= 0:
        if site.answered_seq == site.desired_seq:
            return float(site.desired_kw)
        if site.answered_seq == site.previous_seq:
            return float(site.previous_kw)
    return np.nan


@kernel
def _all_held(sites: Records, held: F64) -> None:
    for row in range(sites.size):
        held[row] = held_kw(sites, row)


def power_of(shard: Shard, kind: DeviceKind) -> F64:
    """(S,) kW as last reported by all of each site's devices of `kind`: 0 without any, NaN where one is unknown."""
    devices = np.flatnonzero(shard.table.device_kind == kind)
    site: I64 = shard.table.device_site[devices].astype(np.int64)
    power = shard.devices["power_kw"][devices].astype(np.float64)
    return np.asarray(np.bincount(site, power, minlength=shard.table.sites), np.float64)
