"""Convex piecewise-linear functions as ascending lists of (slope, length), and the three things done to them.

A function on [left, left + Σ length] is `left`, its value `base` there, and its slopes in ascending order. Infimal
convolution of two such functions merges their lists; restricting the domain clips the ends; evaluating walks.
Kernels on one function each, to be called from compiled loops. Must not know what the slopes mean.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64


@kernel
def merge(
    slope: F64, length: F64, count: int, add_slope: F64, add_length: F64, add_count: int,
    out_slope: F64, out_length: F64, added_at: F64,
) -> int:  # fmt: skip
    """Merge two ascending lists into `out_*`; `added_at[j]` is where added segment j begins, from the left end.

    `slope, length` (≥ count,), `add_*` (≥ add_count,), `out_*` (≥ count + add_count,). Returns the number written.
    Equal slopes: the added segment comes first.
    """
    written, taken, position = 0, 0, 0.0
    for index in range(count):
        while taken < add_count and add_slope[taken] <= slope[index]:
            out_slope[written] = add_slope[taken]
            out_length[written] = add_length[taken]
            added_at[taken] = position
            position += add_length[taken]
            written += 1
            taken += 1
        out_slope[written] = slope[index]
        out_length[written] = length[index]
        position += length[index]
        written += 1
    while taken < add_count:
        out_slope[written] = add_slope[taken]
        out_length[written] = add_length[taken]
        added_at[taken] = position
        position += add_length[taken]
        written += 1
        taken += 1
    return written


@kernel
def clip_left(slope: F64, length: F64, count: int, excess: float) -> tuple[int, float]:
    """Cut `excess` off the left end in place: (number of whole segments to skip, rise of the function over the cut)."""
    skipped, rise = 0, 0.0
    while excess > 0.0 and skipped < count:
        if length[skipped] > excess:
            length[skipped] -= excess
            rise += slope[skipped] * excess
            break
        excess -= length[skipped]
        rise += slope[skipped] * length[skipped]
        skipped += 1
    return skipped, rise


@kernel
def clip_right(length: F64, first: int, count: int, excess: float) -> int:
    """Cut `excess` off the right end in place; returns the new end index (segments [first, end) remain)."""
    end = count
    while excess > 0.0 and end > first:
        if length[end - 1] > excess:
            length[end - 1] -= excess
            break
        excess -= length[end - 1]
        end -= 1
    return end


@kernel
def value_at(left: float, base: float, slope: F64, length: F64, count: int, position: float) -> float:
    """The function's value at `position`; outside the domain the end slopes are continued."""
    value, rest = base, position - left
    for index in range(count):
        if rest <= length[index] or index == count - 1:
            return float(value + slope[index] * rest)
        value += slope[index] * length[index]
        rest -= length[index]
    return value
