"""Questions to the history, answered by DuckDB over the Delta tables: series of a device or a group, and revisions.

Invariants: a question reads only the days, files and columns that it needs; a reading that was sent twice counts once;
unknown comes back as NaN. Each question opens the newest version and sees nothing of later writes. Safe to use from
several threads. Must not know who asks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.errors import HistoryError, InvalidInput
from powerflock.history.downsample import downsample
from powerflock.history.store import delta_errors, open_table, place_of
from powerflock.history.tables import GROUP_VALUES, GROUPS, READING_VALUES, READINGS, REVISIONS, TableSpec, day_of
from powerflock.history.words import Device, Group, Method, Span, Subject

MOST_ROWS = 5_000_000
"""Rows of one series that are held in memory; a mean, which is made while reading, has no such bound."""
MOST_POINTS, LEAST_POINTS = 20_000, 8
_BATCH_ROWS = 65_536
_WITHIN = "day BETWEEN $first_day AND $last_day AND {time} >= $from_us AND {time} < $to_us"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """(N,) times ascending and values; NaN is a gap. `rows` is how many rows it was made of."""

    time_us: I64
    value: F64
    rows: int


class History:
    """The history at `uri` for reading; `options` are deltalake's storage options."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """Nothing is opened before it is asked."""
        self._uri, self._options = uri, dict(options or {})

    def series(
        self, subject: Subject, column: str, span: Span, points: int, method: Method, gap_us: int = 900 * MICROS_PER_S
    ) -> Series:
        """One column of a device or group over `span`, as at most `points` points made by `method`.

        `raw` refuses more rows than `points`; `mean` is the plain mean of the known rows in each of `points` equal
        stretches, NaN where there is none. Rows further apart than `gap_us` have a gap between them.

        Raises `InvalidInput` for a column that the subject has not, or too many rows; `NotFound` without a history.
        """
        if column not in values_of(subject):
            raise InvalidInput("column", column, f"must be one of {', '.join(values_of(subject))}")
        if not LEAST_POINTS <= points <= MOST_POINTS:
            raise InvalidInput("points", points, f"must lie between {LEAST_POINTS} and {MOST_POINTS}")
        if method == "mean":
            return self._mean(subject, column, span, points)
        found = self._rows(subject, column, span, points if method == "raw" else MOST_ROWS)
        if method == "raw":
            return found
        time_us, value = downsample(found.time_us, found.value, points, method, gap_us)
        return Series(time_us, value, found.rows)

    def batches(self, subject: Subject, span: Span) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """All columns of a device or group over `span` in order of time, with their schema, batch by batch."""
        spec = _spec(subject)
        columns = [name for name in spec.schema.names if name != "day"]
        sql, given = _select(subject, ", ".join(f'"{name}"' for name in columns), span)
        schema = pa.schema([spec.schema.field(name) for name in columns])
        return schema, self._stream(spec, sql, given)

    def revisions(self, span: Span, name: str | None = None, since_us: int = 0) -> pa.Table:
        """The hours in `span` that late readings revised after `since_us`: scope, name, hour, when last, how many."""
        sql = (
            "SELECT scope, name, hour_us, max(revised_us) AS revised_us, sum(readings)::BIGINT AS readings "
            f"FROM history WHERE {_WITHIN.format(time='hour_us')} AND ($name IS NULL OR name = $name) "
            "GROUP BY ALL HAVING max(revised_us) > $since_us ORDER BY hour_us, scope, name"
        )
        given = {**_bounds(span), "name": name, "since_us": since_us}
        with self._ask(REVISIONS) as ask:
            return ask.sql(sql, params=given).to_arrow_table()

    def _rows(self, subject: Subject, column: str, span: Span, most: int) -> Series:
        sql, given = _select(subject, f'time_us, "{column}"::DOUBLE AS value', span)
        with self._ask(_spec(subject)) as ask:
            found = ask.sql(f"{sql} LIMIT {most + 1}", params=given).fetchnumpy()
        time_us, value = np.asarray(found["time_us"], np.int64), _unmasked(found["value"])
        if time_us.size > most:
            raise InvalidInput(
                "rows of the series", f"more than {most}", "are too many for this method",
                "Ask for a shorter time, or for means.",
            )  # fmt: skip
        return Series(time_us, value, time_us.size)

    def _mean(self, subject: Subject, column: str, span: Span, points: int) -> Series:
        rows, given = _select(subject, f'time_us, "{column}"::DOUBLE AS value', span)
        width = -(-(span.to_us - span.from_us) // points)
        sql = (
            "SELECT (time_us - $from_us) // $width AS bucket, avg(value) FILTER (NOT isnan(value)) AS value, "
            f"count(*) AS rows FROM ({rows}) GROUP BY bucket ORDER BY bucket"
        )
        with self._ask(_spec(subject)) as ask:
            found = ask.sql(sql, params={**given, "width": width}).fetchnumpy()
        buckets = -(-(span.to_us - span.from_us) // width)
        value = np.full(buckets, np.nan)
        value[np.asarray(found["bucket"], np.int64)] = _unmasked(found["value"])
        return Series(span.from_us + np.arange(buckets) * width, value, int(np.asarray(found["rows"]).sum()))

    def _stream(self, spec: TableSpec, sql: str, given: dict[str, object]) -> Iterator[pa.RecordBatch]:
        with self._ask(spec) as ask:
            yield from ask.sql(sql, params=given).to_arrow_reader(_BATCH_ROWS)

    @contextmanager
    def _ask(self, spec: TableSpec) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in which `history` is the table's newest version."""
        uri = place_of(self._uri, spec)
        table = open_table(uri, self._options)
        with delta_errors(uri):
            data = table.to_pyarrow_dataset()
        with duckdb.connect(config=_config()) as connection:
            connection.register("history", data)
            try:
                with delta_errors(uri):
                    yield connection
            except duckdb.Error as error:
                raise HistoryError(f"history {uri} cannot be read: {error}") from error


def values_of(subject: Subject) -> tuple[str, ...]:
    """The columns that can be asked of it."""
    return READING_VALUES if isinstance(subject, Device) else GROUP_VALUES


def _spec(subject: Subject) -> TableSpec:
    return READINGS if isinstance(subject, Device) else GROUPS


def _select(subject: Subject, columns: str, span: Span) -> tuple[str, dict[str, object]]:
    """The subject's rows in order of time, as a query and its parameters; what came twice is left out."""
    rows = f"SELECT {columns} FROM history WHERE {_WITHIN.format(time='time_us')}"
    if isinstance(subject, Group):
        return f'{rows} AND "group" = $group ORDER BY time_us', {**_bounds(span), "group": subject.name}
    once = "QUALIFY row_number() OVER (PARTITION BY seq, time_us ORDER BY received_us) = 1"
    sql = f"{rows} AND site = $site AND device = $device {once} ORDER BY time_us"
    return sql, {**_bounds(span), "site": subject.site, "device": subject.device}


def _bounds(span: Span) -> dict[str, object]:
    """The parameters of `_WITHIN`; the days are named so that other days' files are not opened."""
    days = {"first_day": day_of(span.from_us), "last_day": day_of(span.to_us - 1)}
    return {"from_us": span.from_us, "to_us": span.to_us, **days}


def _unmasked(values: np.ma.MaskedArray[tuple[int], np.dtype[np.float64]] | F64) -> F64:
    """SQL's NULL as NaN."""
    return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))


def _config() -> dict[str, str | bool | int | float | list[str]]:
    """Bounded memory, two threads, no network, and what does not fit beside other temporary files."""
    folder = Path(tempfile.gettempdir()) / "powerflock-duckdb"
    return {
        "threads": 2,
        "memory_limit": "512MB",
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
