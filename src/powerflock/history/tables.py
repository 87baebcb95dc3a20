"""The history's tables: their columns, units and how they are laid out. Values alone: no file is touched here.

Each fact has two times: `time_us` or `hour_us`, when it was so, and `received_us`, `available_us` or `revised_us`, when
that became known. `day` is the UTC day of the first, by which tables are partitioned. Devices are named by site id and
device name, which never change and mean the same in every log; numbers of devices would not survive a new log or
another number of partitions. Unknown is NaN. Delta has no unsigned integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import TELEMETRY_ARROW

DAY = "day"
READING_VALUES = ("power_kw", "energy_kwh", "charge_limit_kw", "discharge_limit_kw", "capacity_kwh")
"""What can be asked of a device; kW and kWh, + = into it."""
GROUP_VALUES = (
    "sites",
    "power_kw",
    "std_kw",
    "stored_kwh",
    "capacity_kwh",
    "up_kw",
    "down_kw",
    "firm_up_kw",
    "firm_down_kw",
    "coverage_ratio",
    "target_kw",
    "price_per_kwh",
    "spot_per_kwh",
)
"""What can be asked of a group; power and target + = import."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table: its folder's name, its columns in order, and the column by which a closed day is sorted."""

    name: str
    schema: pa.Schema
    sort: str


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([(DAY, pa.date32()), *columns])


READINGS = TableSpec(
    "readings",
    _schema(
        ("site", pa.string()),
        ("device", pa.string()),
        *((name, TELEMETRY_ARROW.field(name).type) for name in ("seq", "time_us", "received_us", *READING_VALUES)),
    ),
    "site",
)
"""Every reading as it was logged; one that a device sent twice is there twice, and is shown once."""

GROUPS = TableSpec(
    "groups",
    _schema(
        ("group", pa.string()),
        ("time_us", pa.int64()),
        ("available_us", pa.int64()),
        *((name, pa.float64()) for name in GROUP_VALUES),
    ),
    "group",
)
"""A row for each group and moment, as it was seen at that moment."""

REVISIONS = TableSpec(
    "revisions",
    _schema(
        ("scope", pa.string()),
        ("name", pa.string()),
        ("hour_us", pa.int64()),
        ("revised_us", pa.int64()),
        ("readings", pa.int64()),
    ),
    "name",
)
"""Hours of a site or group (`scope`) for which readings came late, when (the last of them), and how many."""

TABLES = (READINGS, GROUPS, REVISIONS)


def day_of(time_us: int) -> date:
    """The UTC day of a time."""
    return datetime.fromtimestamp(time_us / MICROS_PER_S, UTC).date()
