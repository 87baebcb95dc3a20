"""Convex piecewise-linear functions as ascending lists of (slope, length), and the three things done to them.

A function on [left, left + Σ length] is `left`, its value `base` there, and its slopes in ascending order. Infimal
convolution of two such functions merges their lists; restricting the domain clips the ends; evaluating walks. A list
occupies [first, end) of its arrays, so that clipping moves nothing.
Kernels on one function each, to be called from compiled loops. Must not know what the slopes mean.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64


@kernel
def insert(
    slope: F64, length: F64, first: int, end: int, add_slope: F64, add_length: F64, add_count: int,
    right: float, begins: F64,
) -> int:  # fmt: skip
    """Put `add_*` (≥ add_count,) into the list at [first, end) of `slope, length` in place; returns the new end.

    Both ascend; only what lies right of an added segment moves, so the list needs room for add_count more. `right` is
    where the merged function's domain ends, `begins[j]` receives where added segment j begins. Equal slopes: the added
    segment comes first.
    """
    read, write, edge = end, end + add_count, right
    for added in range(add_count - 1, -1, -1):
        moved_0 = moved_1 = moved_2 = moved_3 = 0.0
        while read - 3 > first and slope[read - 4] >= add_slope[added]:  # four at a time: their sums do not wait
            read -= 4
            write -= 4
            for index in range(3, -1, -1):
                slope[write + index] = slope[read + index]
            moved_0, length[write + 3] = moved_0 + length[read + 3], length[read + 3]
            moved_1, length[write + 2] = moved_1 + length[read + 2], length[read + 2]
            moved_2, length[write + 1] = moved_2 + length[read + 1], length[read + 1]
            moved_3, length[write] = moved_3 + length[read], length[read]
        edge -= (moved_0 + moved_1) + (moved_2 + moved_3)
        while read > first and slope[read - 1] >= add_slope[added]:
            read -= 1
            write -= 1
            slope[write] = slope[read]
            length[write] = length[read]
            edge -= length[read]
        write -= 1
        slope[write] = add_slope[added]
        length[write] = add_length[added]
        edge -= add_length[added]
        begins[added] = edge
    return end + add_count


@kernel
def clip_left(slope: F64, length: F64, first: int, end: int, excess: float) -> tuple[int, float]:
    """Cut `excess` off the left end in place: (where the list now begins, rise of the function over the cut)."""
    rise = 0.0
    while excess > 0.0 and first < end:
        if length[first] > excess:
            length[first] -= excess
            rise += slope[first] * excess
            break
        excess -= length[first]
        rise += slope[first] * length[first]
        first += 1
    return first, rise


@kernel
def clip_right(length: F64, first: int, end: int, excess: float) -> int:
    """Cut `excess` off the right end in place; returns the new end."""
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
