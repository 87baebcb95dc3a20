"""What the API says of the past, as msgspec Structs; see `models` for signs and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

MethodName = Literal["raw", "minmax", "lttb", "mean"]


class SeriesColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Equally long columns, `time_us` ascending; null is a gap. `rows` is how many rows of the history they show."""

    of: str
    column: str
    method: MethodName
    rows: int
    time_us: Sequence[int]
    value: Sequence[float | None]


class RevisionRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An hour of a site or group that late readings changed: when the last of them came, and how many came."""

    scope: Literal["site", "group"]
    name: str
    hour: str
    revised: str
    readings: int
