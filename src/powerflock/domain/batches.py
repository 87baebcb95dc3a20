"""Batches of rows: numpy records to bytes (an Arrow IPC stream) and back, and the schema's rules over whole columns.

Invariants: `decode(encode(r), r.dtype)` equals `r` bit for bit, NaN included; the bytes are those that Arrow's own
writer gives. It is asked for each number of rows once: what it puts around the columns is kept, and for as many rows
again each column goes straight to its place, or comes from there. Work is per column, never per row. Must not know what
the rows mean, nor where the bytes go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from powerflock.domain.arrays import I64, Bools, Records
from powerflock.domain.errors import InvalidInput
from powerflock.domain.schema import Column, Schema

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ALIGNED = 8
_FILLING = bytes(_ALIGNED)


@dataclass(frozen=True, slots=True, eq=False)
class Violation:
    """A rule that some rows break: `rule` is "range" or "nan"; `rows` (N,) are their positions, ascending."""

    rule: str
    column: str
    rows: I64
    bound: str


def encode(records: Records) -> bytes:
    """One Arrow IPC stream with one record batch of the (N,) structured `records`; column names are the fields'."""
    frame, parts = _frame(records.dtype, records.size), []
    for name in _names(records.dtype):
        column = records[name].tobytes()
        parts += [column, _FILLING[: -len(column) % _ALIGNED]]
    return b"".join([frame.head, *parts, _END_OF_STREAM])


def decode(payload: bytes, *dtypes: np.dtype[np.void]) -> Records:
    """The (N,) records in an Arrow IPC stream: of that one of the `dtypes` whose columns it has.

    Raises `InvalidInput` where the bytes are no Arrow stream, or their columns are not exactly those of a `dtype`.
    """
    for dtype in dtypes:
        records = _unframed(payload, dtype) if payload.startswith(_opening(dtype)) else None
        if records is not None:
            return records
    return _read(payload, dtypes)


def _read(payload: bytes, dtypes: Sequence[np.dtype[np.void]]) -> Records:
    """Any Arrow stream, by Arrow's own reader."""
    if not payload.endswith(_END_OF_STREAM):  # cut between two messages, the reader would take it for a shorter stream
        raise InvalidInput("batch", payload[-8:], "must be a whole Arrow IPC stream: its end is missing")
    try:
        with pa.ipc.open_stream(payload) as reader:
            found, batches = reader.schema, list(reader)
            for batch in batches:
                batch.validate()
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput("batch", payload[:16], f"must be an Arrow IPC stream: {error}") from error
    dtype = next((dtype for dtype in dtypes if found.equals(_arrow(dtype))), None)
    if dtype is None:
        wanted = " or ".join(_describe(_arrow(dtype)) for dtype in dtypes)
        raise InvalidInput("batch columns", _describe(found), f"must be {wanted}")
    records: Records = np.empty(sum(batch.num_rows for batch in batches), dtype)
    start = 0
    for batch in batches:
        for name, column in zip(_names(dtype), batch.columns, strict=True):
            if column.null_count:
                raise InvalidInput(f"batch column {name}", "null", "must hold no nulls", "Unknown is NaN.")
            records[name][start : start + batch.num_rows] = _values(column, dtype[name])
        start += batch.num_rows
    return records


class _Frame(NamedTuple):
    """A stream of so many rows: its bytes before the first column, where each column begins, its `size` in all."""

    head: bytes
    at: tuple[int, ...]
    size: int


@lru_cache(maxsize=4096)
def _frame(dtype: np.dtype[np.void], rows: int) -> _Frame:
    schema, widths = _arrow(dtype), _widths(dtype, rows)
    columns = [
        # Not pa.array: the first call of that one imports pandas, a second of waiting for the first reading.
        pa.Array.from_buffers(field.type, rows, [None, pa.py_buffer(bytes(rows * dtype[field.name].itemsize))])
        for field in schema
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    payload = cast("bytes", sink.getvalue().to_pybytes())
    head = payload[: len(payload) - len(_END_OF_STREAM) - sum(widths)]
    return _Frame(head, tuple(accumulate(widths[:-1], initial=len(head))), len(payload))


@lru_cache(maxsize=64)
def _opening(dtype: np.dtype[np.void]) -> bytes:
    """What a stream of `dtype` begins with, however many rows it has: its schema."""
    return bytes(_arrow(dtype).serialize())


def _unframed(payload: bytes, dtype: np.dtype[np.void]) -> Records | None:
    """The records in a stream that `encode` wrote of `dtype`; None of any other bytes."""
    around = len(_frame(dtype, 1).head) + len(_END_OF_STREAM)
    rows = (len(payload) - around) // dtype.itemsize
    while rows > 0 and around + sum(_widths(dtype, rows)) > len(payload):
        rows -= 1
    rows = max(rows, 0)
    frame = _frame(dtype, rows)
    if len(payload) != frame.size or not (payload.startswith(frame.head) and payload.endswith(_END_OF_STREAM)):
        return None
    records: Records = np.empty(rows, dtype)
    for name, at in zip(_names(dtype), frame.at, strict=True):
        records[name] = np.frombuffer(payload, dtype[name], rows, at)
    return records


def _widths(dtype: np.dtype[np.void], rows: int) -> list[int]:
    """The bytes of each column of so many rows, filled up as Arrow aligns them."""
    return [-(-rows * dtype[name].itemsize // _ALIGNED) * _ALIGNED for name in _names(dtype)]


def newest_us(records: Records) -> int:
    """The newest `time_us` of readings or events, µs UTC; 0 of none."""
    return int(records["time_us"].max(initial=0))


def validate(records: Records, schema: Schema) -> list[Violation]:
    """Every rule of `schema` that the (N,) `records` break, with the offending rows; an empty list when all is well."""
    violations: list[Violation] = []
    for column in schema.columns:
        violations += _column_violations(records, column)
    return violations


def _column_violations(records: Records, column: Column) -> list[Violation]:
    values = records[column.name]
    low, high = np.asarray(column.low, values.dtype), np.asarray(column.high, values.dtype)
    if values.size == 0 or (values.min() >= low and values.max() <= high):  # NaN fails both: the slow path looks closer
        return []
    unknown: Bools = np.isnan(values)
    outside: Bools = ((values < low) | (values > high)) & ~unknown
    violations = []
    if outside.any():
        bound = f"must lie between {column.low} and {column.high} {column.unit}".rstrip()
        violations.append(Violation("range", column.name, np.flatnonzero(outside), bound))
    if not column.nan and unknown.any():
        violations.append(Violation("nan", column.name, np.flatnonzero(unknown), "must be known"))
    return violations


def _values(column: pa.Array, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """The column's memory as (N,) numbers, without a copy (and, unlike `to_numpy`, without importing pandas)."""
    if len(column) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def _names(dtype: np.dtype[np.void]) -> tuple[str, ...]:
    return dtype.names or ()


def _arrow(dtype: np.dtype[np.void]) -> pa.Schema:
    return pa.schema([(name, pa.from_numpy_dtype(dtype[name])) for name in _names(dtype)])


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
