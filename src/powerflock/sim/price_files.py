"""Reads AEMO's price files, CSV and Parquet, into a `PriceSeries`; refuses what it cannot read exactly.

Invariants: SETTLEMENTDATE labels the end of an interval in NEM time (UTC+10); nothing is filled, averaged or guessed.
Must not know the plant. The formats are described in docs/prices-file.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.errors import InvalidInput
from powerflock.sim.prices import MARKET_TIME_US, STEP_US, PriceSeries, gapless

_TIME = r"^\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d(:\d\d)?(\+10:00)?$"
_REGIONS = ("REGION", "REGIONID")


def read_prices(path: Path, region: str | None = None) -> PriceSeries:
    """Prices of `region` (needed where the file holds several) from a `.csv` or `.parquet` file.

    Every fault is `InvalidInput` naming the file, the row (CSV: the line, header = 1; Parquet: from 1) and the value.
    """
    table = read_table(path, "prices")
    if "PREDISPATCH_RUN_DATETIME" in table.column_names:
        raise InvalidInput(
            str(path), "pre-dispatch runs", "are forecasts, not the price of each interval", "Use actuals."
        )
    regions = [name for name in _REGIONS if name in table.column_names]
    missing = [name for name in ("SETTLEMENTDATE", "RRP") if name not in table.column_names]
    if missing or not regions:
        need = "must hold REGION or REGIONID, SETTLEMENTDATE and RRP"
        raise InvalidInput(f"{path}: columns", table.column_names, need, "See the price file format in the docs.")
    first_row = 2 if path.suffix.lower() == ".csv" else 1
    rows = np.arange(table.num_rows, dtype=np.int64) + first_row
    names = np.asarray(table[regions[0]].cast(pa.string()).to_pylist(), dtype=np.str_)
    wanted = _choose(path, names, region)
    chosen = np.flatnonzero(names == wanted)
    table, rows = table.take(pa.array(chosen)), rows[chosen]
    if "PERIODTYPE" in table.column_names:
        _check_actual(path, table, rows)
    times, prices = _times(path, table["SETTLEMENTDATE"], rows), numbers(path, table["RRP"], "RRP", rows)
    return gapless(times - MARKET_TIME_US - STEP_US, prices, rows, path.name, wanted)


def read_table(path: Path, thing: str) -> pa.Table:
    """The whole `.csv` (every column as text) or `.parquet` file; anything else or unreadable is `InvalidInput`."""
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".parquet"}:
        raise InvalidInput(f"{thing} file", str(path), "must end in .csv or .parquet")
    if not path.is_file():
        raise InvalidInput(f"{thing} file", str(path), "must exist and be a file")
    try:
        table = pq.read_table(path) if suffix == ".parquet" else _read_csv(path)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{thing} file", str(path), f"cannot be read as {suffix[1:]}: {error}") from error
    if not table.num_rows:
        raise InvalidInput(f"{thing} file", str(path), "holds no rows")
    return table


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig") as lines:
        header = [name.strip().strip('"') for name in lines.readline().rstrip("\r\n").split(",")]
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
    return pa.csv.read_csv(path, convert_options=as_text)


def _choose(path: Path, names: np.ndarray[tuple[int], np.dtype[np.str_]], region: str | None) -> str:
    held = sorted(set(names.tolist()))
    if region is None and len(held) == 1:
        return str(held[0])
    if region is None:
        raise InvalidInput(f"{path}: region", None, f"must be one of {', '.join(held)}", "Name the region to use.")
    if region not in held:
        raise InvalidInput(f"{path}: region", region, f"must be one of {', '.join(held)}")
    return region


def _check_actual(path: Path, table: pa.Table, rows: I64) -> None:
    kinds = table["PERIODTYPE"].to_pylist()
    bad = next((index for index, kind in enumerate(kinds) if kind != "TRADE"), None)
    if bad is not None:
        raise InvalidInput(f"{path}, row {rows[bad]}: PERIODTYPE", kinds[bad], "must be TRADE", "Remove forecasts.")


def _times(path: Path, column: pa.ChunkedArray, rows: I64) -> I64:
    """Interval ends as µs of NEM time, (N,)."""
    if pa.types.is_timestamp(column.type):
        if column.null_count:
            raise _bad(path, rows, "SETTLEMENTDATE", np.asarray(column.is_null()), column)
        stamps: I64 = column.cast(pa.timestamp("us")).to_numpy().astype(np.int64)
        return stamps
    readable = pc.fill_null(pc.match_substring_regex(column, _TIME), fill_value=False)
    texts = pc.replace_substring(column, "+10:00", "").to_pylist()
    values, broken = np.zeros(len(texts), dtype=np.int64), ~np.asarray(readable)
    for index in np.flatnonzero(~broken):
        try:
            values[index] = np.datetime64(texts[index].replace("/", "-"), "us").astype(np.int64)
        except ValueError:
            broken[index] = True
    if broken.any():
        raise _bad(path, rows, "SETTLEMENTDATE", broken, column, "must be YYYY/MM/DD HH:MM:SS in NEM time (UTC+10)")
    return values


def numbers(path: Path, column: pa.ChunkedArray, name: str, rows: I64) -> F64:
    """A column as (N,) float64; a text that is no number, NaN, infinite or empty is `InvalidInput` naming its row."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.to_pylist()
        values = np.array([_number(text) for text in texts], dtype=np.float64)
    else:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    broken = ~np.isfinite(values)
    if broken.any():
        raise _bad(path, rows, name, broken, column)
    return values


def _number(text: str | None) -> float:
    try:
        return float(text) if text else np.nan
    except ValueError:
        return np.nan


def _bad(
    path: Path, rows: I64, name: str, broken: Bools, column: pa.ChunkedArray, bound: str = "must be a finite number"
) -> InvalidInput:
    at = int(np.flatnonzero(broken)[0])
    more = int(broken.sum()) - 1
    also = f" and {more} rows more" if more else ""
    return InvalidInput(f"{path}, row {rows[at]}{also}: {name}", column[at].as_py(), bound, "Correct or remove them.")
