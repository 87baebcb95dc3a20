"""Keeping the history small: few files for each day, and no days older than wanted.

Invariants: compaction changes no row and never holds up an append; readers keep the version that they opened for
`keep_h` hours. May run beside the historian and beside itself: of two that rewrite the same files one gives up
(`Overtaken`). Must not know clocks: the caller says what day it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties

from powerflock.domain.clock import MICROS_PER_S
from powerflock.history.store import delta_errors, open_table, place_of
from powerflock.history.tables import DAY, READINGS, TABLES, TableSpec, day_of

TODAY_BYTES, CLOSED_BYTES = 32_000_000, 256_000_000
"""Size of a full file: small while a day still grows, so that little is written twice; large once it is over."""
_PROPERTIES = WriterProperties(max_row_group_size=131_072, compression="ZSTD")
"""Row groups small enough that those without the site asked for are skipped."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A day of a table whose files were rewritten: how many there were and are."""

    table: str
    day: date
    files_before: int
    files_after: int


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention removed of a table: files of days before `first_day`, and files that nobody refers to."""

    table: str
    first_day: date
    expired: int
    deleted: int


def newest_us(uri: str, options: Mapping[str, str]) -> int:
    """The beginning of the newest day in any table: the plant's own today, as far as the history knows; 0 if empty."""
    tables = [open_table(place_of(uri, spec), options) for spec in TABLES]
    days = [day for table in tables for day in _files(table)[f"partition.{DAY}"].to_pylist()]
    newest = max(days, default=date(1970, 1, 1))
    return round(datetime.combine(newest, time.min, UTC).timestamp() * MICROS_PER_S)


def compact(
    uri: str, options: Mapping[str, str], now_us: int, progress: Callable[[float], None] = lambda _: None
) -> list[Compacted]:
    """Rewrite each day that has more than one small file: closed days sorted by site or group, today as it comes."""
    today = day_of(now_us)
    tables = [(spec, open_table(place_of(uri, spec), options)) for spec in TABLES]
    work = [(spec, table, day) for spec, table in tables for day in _crowded(table, today)]
    done = []
    for number, (spec, table, day) in enumerate(work):
        done.append(_compact_day(spec, table, day, closed=day < today))
        progress((number + 1) / len(work))
    return done


def retain(
    uri: str, options: Mapping[str, str], now_us: int, *, readings_days: int, series_days: int, keep_h: int = 24
) -> list[Retained]:
    """Drop readings of days older than `readings_days`, and the other tables' older than `series_days`.

    Files are deleted `keep_h` hours after nothing refers to them any more; those that a killed writer left as well.
    """
    return [
        _retain(spec, uri, options, day_of(now_us) - timedelta(days=days), keep_h)
        for spec in TABLES
        for days in [readings_days if spec is READINGS else series_days]
    ]


def _crowded(table: DeltaTable, today: date) -> list[date]:
    """The days with two small files or more, oldest first."""
    files = _files(table)
    small: dict[date, int] = {}
    for day, size in zip(files[f"partition.{DAY}"].to_pylist(), files["size_bytes"].to_pylist(), strict=True):
        if size < (CLOSED_BYTES if day < today else TODAY_BYTES) // 2:
            small[day] = small.get(day, 0) + 1
    return sorted(day for day, count in small.items() if count > 1)


def _files(table: DeltaTable) -> pa.Table:
    """Each file with its day and size."""
    with delta_errors(str(table.table_uri)):
        return pa.table(table.get_add_actions(flatten=True))


def _compact_day(spec: TableSpec, table: DeltaTable, day: date, *, closed: bool) -> Compacted:
    only = [(DAY, "=", day.isoformat())]
    with delta_errors(str(table.table_uri)):
        before = len(table.file_uris(file_pruning_predicate=only))
        if closed:
            table.optimize.z_order(
                [spec.sort], only, target_size=CLOSED_BYTES, max_concurrent_tasks=1, writer_properties=_PROPERTIES
            )
        else:
            table.optimize.compact(only, TODAY_BYTES, max_concurrent_tasks=1, writer_properties=_PROPERTIES)
        return Compacted(spec.name, day, before, len(table.file_uris(file_pruning_predicate=only)))


def _retain(spec: TableSpec, uri: str, options: Mapping[str, str], first: date, keep_h: int) -> Retained:
    table = open_table(place_of(uri, spec), options)
    with delta_errors(str(table.table_uri)):
        old = len(table.file_uris(file_pruning_predicate=[(DAY, "<", first.isoformat())]))
        if old:
            table.delete(f"{DAY} < '{first.isoformat()}'")
        deleted = table.vacuum(keep_h, dry_run=False, enforce_retention_duration=False, full=True)
        table.cleanup_metadata()
    return Retained(spec.name, first, old, len(deleted))
