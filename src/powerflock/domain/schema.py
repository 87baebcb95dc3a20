"""What the column schema says of a column, as values; `columns.py` is generated with these.

Invariants: a schema's columns are in memory order; `nan` is empty where NaN is refused. Must not know any file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, numpy dtype, unit, inclusive range, and what NaN means (empty: NaN is refused).

    `kinds` are narrower ranges (kind, low, high) for devices of some kinds.
    """

    name: str
    dtype: str
    unit: str
    low: float
    high: float
    nan: str
    kinds: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of one kind of batch, in memory order."""

    name: str
    columns: tuple[Column, ...]
