"""Reads real homes from the documented long format, CSV or Parquet: one row per site and interval.

Invariants: columns are checked whole and every fault names the file, the row, the site and the value; nothing is filled
or dropped. Must not know what the homes are used for. The format is described in docs/homes-file.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import from_rfc3339, to_rfc3339
from powerflock.domain.errors import InvalidInput
from powerflock.sim.metered import MINUTE_US, Metered, Terms, fleet_of
from powerflock.sim.price_files import numbers, read_table
from powerflock.sim.profiles import Fleet

REQUIRED = ("site", "interval_start", "load_kwh", "solar_kwh")
OPTIONAL = tuple(Terms.__struct_fields__)
_TEXTS = ("feeder", "region", "tariff")


def read_homes(path: Path) -> Fleet:
    """The homes in a `.csv` or `.parquet` file, sites in order of first appearance.

    Every fault is `InvalidInput` naming the file and row (CSV: the line, header = 1; Parquet: from 1).
    """
    table = read_table(path, "homes")
    columns = set(table.column_names)
    unknown, missing = sorted(columns - {*REQUIRED, *OPTIONAL}), [name for name in REQUIRED if name not in columns]
    if missing or unknown:
        fault = f"misses {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        known = f"must be {', '.join(REQUIRED)} and, if wanted, {', '.join(OPTIONAL)}"
        raise InvalidInput(f"{path}: columns", fault, known)
    rows = np.arange(table.num_rows, dtype=np.int64) + (2 if path.suffix.lower() == ".csv" else 1)
    codes, sites = _sites(path, table["site"], rows)
    times = _times(path, table["interval_start"], rows)
    order = np.lexsort((times, codes))
    steps = _check_grid(path, sites, codes[order], times[order], rows[order])
    load = _energy(path, table, "load_kwh", rows)[order].reshape(len(sites), -1)
    solar = _energy(path, table, "solar_kwh", rows)[order].reshape(len(sites), -1)
    metered = Metered(sites, int(times[order[0]]), steps, load, solar)
    return fleet_of(metered, _terms(path, table, sites, codes, rows), path.name)


def _sites(path: Path, column: pa.ChunkedArray, rows: I64) -> tuple[I64, list[str]]:
    """Site code of each row, (N,), and the names."""
    names = column.cast(pa.string()).combine_chunks()
    blank = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(names, ""), fill_value=True)))
    if blank.size:
        raise InvalidInput(f"{path}, row {rows[blank[0]]}: site", "", "must name the site")
    encoded = names.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _times(path: Path, column: pa.ChunkedArray, rows: I64) -> I64:
    """Interval starts, µs UTC, (N,)."""
    bound = "must be a time with its offset, e.g. 2026-01-02T03:00:00+10:00 or 2026-01-01T17:00:00Z"
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise InvalidInput(f"{path}: interval_start", str(column.type), bound, "Store it with a time zone.")
        if column.null_count:
            row = rows[np.flatnonzero(np.asarray(column.is_null()))[0]]
            raise InvalidInput(f"{path}, row {row}: interval_start", None, bound)
        stamps: I64 = column.cast(pa.timestamp("us", "UTC")).to_numpy().astype(np.int64)
        return stamps
    encoded = column.cast(pa.string()).combine_chunks().fill_null("").dictionary_encode()
    codes = encoded.indices.to_numpy()
    parsed = np.zeros(len(encoded.dictionary), dtype=np.int64)
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            parsed[code] = from_rfc3339(text)
        except InvalidInput as error:
            row = rows[np.flatnonzero(codes == code)[0]]
            raise InvalidInput(f"{path}, row {row}: interval_start", text, bound) from error
    starts: I64 = parsed[codes]
    return starts


def _check_grid(path: Path, sites: list[str], codes: I64, times: I64, rows: I64) -> int:
    """Length of the intervals in µs; the same for every site, without gaps or repeats. Sorted by site, time."""
    counts = np.bincount(codes)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    if counts.max() < 2:
        raise InvalidInput(f"{path}: intervals per site", int(counts.max()), "must be 2 or more")
    gaps = np.diff(times)
    inside = codes[1:] == codes[:-1]
    step_us = int(np.median(gaps[inside]))
    odd = np.flatnonzero(inside & (gaps != step_us))
    if odd.size:
        at = int(odd[0]) + 1
        where = f"{path}, row {rows[at]}: minutes since the interval before of site {sites[codes[at]]}"
        bound = f"must be {step_us / MINUTE_US:g}, as in the rest of the file"
        raise InvalidInput(where, float(gaps[at - 1] / MINUTE_US), bound, "Add what is missing, remove what repeats.")
    for index in np.flatnonzero((times[first] != times[0]) | (counts != counts[0])):
        span = f"{counts[index]} intervals from {to_rfc3339(int(times[first[index]]))}"
        bound = f"must be {counts[0]} from {to_rfc3339(int(times[0]))}, as of site {sites[0]}"
        raise InvalidInput(f"{path}: span of site {sites[index]}", span, bound, "All sites need the same span.")
    return step_us


def _energy(path: Path, table: pa.Table, name: str, rows: I64) -> F64:
    """A kWh column, (N,), ≥ 0."""
    energy = numbers(path, table[name], name, rows)
    low = np.flatnonzero(energy < 0.0)
    if low.size:
        where = f"{path}, row {rows[low[0]]} of {low.size} such rows: {name}"
        raise InvalidInput(where, float(energy[low[0]]), "must be 0 or more (use and generation as metered)")
    return energy


def _terms(path: Path, table: pa.Table, sites: list[str], codes: I64, rows: I64) -> list[Terms]:
    """Terms by site from the optional columns, each constant within a site; an empty value takes the default."""
    given: list[dict[str, object]] = [{} for _ in sites]
    _, first = np.unique(codes, return_index=True)
    for name in (column for column in OPTIONAL if column in table.column_names):
        texts = np.array(table[name].cast(pa.string()).fill_null("").to_pylist(), dtype=np.str_)
        varying = np.flatnonzero(texts != texts[first][codes])
        if varying.size:
            at = int(varying[0])
            bound = f"must be the same in all rows of site {sites[codes[at]]}, as {texts[first[codes[at]]]!r} before"
            raise InvalidInput(f"{path}, row {rows[at]}: {name}", str(texts[at]), bound)
        for code, text in enumerate(texts[first].tolist()):
            if text:
                given[code][name] = _term(f"{path}, row {rows[first[code]]}: {name}", name, text)
    return [Terms(**values) for values in given]  # type: ignore[arg-type]


def _term(where: str, name: str, text: str) -> str | float | int:
    if name in _TEXTS:
        return text
    whole = get_type_hints(Terms)[name] == int | None
    try:
        value = int(text) if whole else float(text)
    except ValueError as error:
        raise InvalidInput(where, text, f"must be a {'whole ' if whole else ''}number or empty") from error
    return value
