"""Two partitions' curves as one table, column by column, as whoever collects their reports adds them."""

from __future__ import annotations

from dataclasses import fields

from powerflock.groups.curves import CurveTable


def joined(one: CurveTable, two: CurveTable) -> CurveTable:
    """Both are of one hierarchy."""
    return CurveTable(*(getattr(one, item.name) + getattr(two, item.name) for item in fields(CurveTable)))
