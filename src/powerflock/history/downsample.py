"""Fewer points of a series that look the same: `minmax` keeps each stretch's extremes, `lttb` its shape.

Invariants: the result is a choice of the given points, in order. Between two chosen points that have an unknown, or too
long a silence, between them stands a gap: a point with NaN. So unknown never becomes zero or a line. At most the points
asked for come back, gaps included. Must not know where points come from.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from tsdownsample import LTTBDownsampler, MinMaxDownsampler

from powerflock.domain.arrays import F64, I64, Bools

Chosen: TypeAlias = Literal["minmax", "lttb"]
_METHODS = {"minmax": MinMaxDownsampler(), "lttb": LTTBDownsampler()}


def downsample(time_us: I64, value: F64, points: int, method: Chosen, gap_us: int) -> tuple[I64, F64]:
    """At most `points` (even, 8 or more) of the (N,) points, `time_us` ascending; two more than `gap_us` apart: a gap.

    Returns (M,) times and values. A gap's own time is where it begins: that of its first unknown, or the microsecond
    after the last known point before a silence.
    """
    known = np.flatnonzero(~np.isnan(value))
    times, values = np.ascontiguousarray(time_us[known]), np.ascontiguousarray(value[known])
    broken = np.zeros(known.size, np.bool_)
    broken[1:] = (np.diff(known) > 1) | (np.diff(times) > gap_us)
    most = points // 4 * 2 if broken.any() else points
    chosen = np.arange(known.size)
    if known.size > most:
        chosen = np.unique(_METHODS[method].downsample(times, values, n_out=most).astype(np.int64))  # flat: one is both
    return _with_gaps(time_us, known, chosen, times, values, broken)


def _with_gaps(
    time_us: I64, known: I64, chosen: I64, times: I64, values: F64, broken: Bools
) -> tuple[I64, F64]:  # fmt: skip
    """The chosen points, and one unknown point after each that is followed by a break before the next."""
    breaks = np.cumsum(broken)
    after = np.flatnonzero(np.diff(breaks[chosen]) > 0)
    first = np.searchsorted(breaks, breaks[chosen[after]], side="right")  # the first known point behind the first break
    last = known[first - 1]  # the last known point before it
    unknown = last + 1 < known[first]
    gap_us = np.where(unknown, time_us[np.minimum(last + 1, time_us.size - 1)], time_us[last] + 1)
    return (
        np.insert(times[chosen], after + 1, gap_us),
        np.insert(values[chosen], after + 1, np.nan),
    )
