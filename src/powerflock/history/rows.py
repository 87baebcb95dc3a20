"""Telemetry records into the tables' rows: whole columns at a time, without copies where numpy and Arrow agree.

Invariants: pure: the same records and names give the same rows. A reading that came more than `late_us` after its
moment was not in any total of that moment: it revises the hour of its site and of all groups that hold the site. Must
not know files or the log.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import I32, I64, Records
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.history.arrow import days, numbers, texts
from powerflock.history.names import Directory, Names
from powerflock.history.tables import READINGS, REVISIONS

AHEAD_US = MICROS_PER_DAY
"""A reading from further ahead than this has a wrong clock: it belongs to no day, and the twins refuse it too."""


class Part(NamedTuple):
    """(N,) telemetry records of one partition."""

    partition: int
    records: Records


def usable(part: Part, directory: Directory) -> Part:
    """The records whose device is known and whose clock is not ahead by `AHEAD_US` or more."""
    records = part.records
    good = records["device"] < directory.partitions[part.partition].known
    good &= records["time_us"] < records["received_us"] + AHEAD_US
    return part if good.all() else Part(part.partition, records[good])


def reading_rows(parts: list[Part], directory: Directory) -> pa.Table:
    """The table `readings`' rows for usable records, in their order."""
    return _together(READINGS.schema, [_readings(part.records, directory.partitions[part.partition]) for part in parts])


def revision_rows(parts: list[Part], directory: Directory, late_us: int) -> pa.Table:
    """The table `revisions`' rows for usable records: one for each site or group and hour that late ones revise."""
    tables: list[pa.Table] = []
    for partition, records in parts:
        late = records[records["received_us"] - records["time_us"] > late_us]
        if late.size:
            tables += _revisions(late, directory.partitions[partition], directory)
    return _together(REVISIONS.schema, tables)


def _readings(records: Records, names: Names) -> pa.Table:
    device = records["device"]
    columns: dict[str, pa.Array] = {
        "day": days(records["time_us"]),
        "site": pa.DictionaryArray.from_arrays(numbers(names.site_of_device[device]), names.sites),
        "device": pa.DictionaryArray.from_arrays(numbers(names.name_of_device[device]), texts(names.devices)),
    }
    return _table(READINGS.schema, columns | {name: numbers(records[name]) for name in READINGS.schema.names[3:]})


def _revisions(late: Records, names: Names, directory: Directory) -> list[pa.Table]:
    hour = late["time_us"] // MICROS_PER_HOUR
    site = names.site_of_device[late["device"]]
    sites = _tallied(site, hour, late["received_us"], np.ones(late.size, np.int64))
    position, group = directory.groups.of(names.leaf_of_site[sites.name])
    groups = _tallied(group, sites.hour[position], sites.revised_us[position], sites.readings[position])
    return [
        _revision_table("site", names.sites, sites),
        _revision_table("group", texts(directory.groups.names), groups),
    ]


class _Tally(NamedTuple):
    """Each name and hour once: the last time a reading for it came, and how many came."""

    name: I32
    hour: I64
    revised_us: I64
    readings: I64


def _tallied(name: I32, hour: I64, revised_us: I64, readings: I64) -> _Tally:
    keys, where = np.unique(np.column_stack((name.astype(np.int64), hour)), axis=0, return_inverse=True)
    last, count = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    np.maximum.at(last, where, revised_us)
    np.add.at(count, where, readings)
    return _Tally(keys[:, 0].astype(np.int32), keys[:, 1], last, count)


def _revision_table(scope: str, names: pa.StringArray, tally: _Tally) -> pa.Table:
    hour_us = tally.hour * MICROS_PER_HOUR
    zeros = np.zeros(hour_us.size, np.int32)
    columns = {
        "day": days(hour_us),
        "scope": pa.DictionaryArray.from_arrays(numbers(zeros), texts([scope])),
        "name": pa.DictionaryArray.from_arrays(numbers(tally.name), names),
        "hour_us": numbers(hour_us),
        "revised_us": numbers(tally.revised_us),
        "readings": numbers(tally.readings),
    }
    return _table(REVISIONS.schema, columns)


def _table(schema: pa.Schema, columns: dict[str, pa.Array]) -> pa.Table:
    """The columns in the schema's order and of its types."""
    return pa.table([columns[name] for name in schema.names], schema.names).cast(schema)


def _together(schema: pa.Schema, tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables])
