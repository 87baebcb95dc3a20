"""Piecewise-linear functions that need not be convex: slide a segment along one, take the lower of two, restrict one.

A function is a polyline, (3, room) float64 and a count of points: row 0 x, ascending; row 1 y; row 2 is 1 where the
point is joined to the next. Points may share an x: a jump, at which the least y counts; so every function is lower
semi-continuous and its minimum is at a point. Between points that are not joined it has no value, and a point joined to
neither side stands alone.
Kernels on one function each, to be called from compiled loops. They write to `out`, another array, which must have
room: `slide` 3 points for each of its source, `lower` 4 for each of both, `restrict` 2 more than its source.
Must not know what x and y mean.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64

SAME = 1e-12
"""Points of two functions whose x differ by less are at the same x; a point that a line misses by less is on it."""


@kernel
def push(out: F64, end: int, x: float, y: float, joined: float) -> int:
    """Append a point; `joined` to the one before it or not. Returns the new count."""
    if end > 0:
        out[2, end - 1] = joined
    out[0, end], out[1, end], out[2, end] = x, y, 0.0
    return end + 1


@kernel
def add(out: F64, end: int, x: float, y: float, joined: float) -> int:
    """As `push`, and forget what the point makes needless: points on a line, tops of jumps.

    Points at the same x are joined in any case, which changes nothing.
    """
    while end > 0:
        last_x, last_y = out[0, end - 1], out[1, end - 1]
        if x <= last_x + SAME:
            x = last_x
            if abs(y - last_y) <= SAME * (1.0 + abs(last_y)):
                out[2, end - 1] = 0.0
                return end
        if joined == 0.0 and x > last_x:
            return push(out, end, x, y, 0.0)
        if end == 1 or out[2, end - 2] == 0.0:
            if x > last_x or y > last_y:
                break
            out[1, end - 1], out[2, end - 1] = y, 0.0  # a function that begins with a fall begins at its foot
            return end
        before_x, before_y = out[0, end - 2], out[1, end - 2]
        if before_x == last_x:
            needless = x == last_x and (y <= last_y or before_y <= last_y)
        else:
            off = (last_y - before_y) * (x - before_x) - (y - before_y) * (last_x - before_x)
            needless = x > last_x and abs(off) <= SAME * (1.0 + abs(last_y)) * (x - before_x)
        if not needless:
            break
        end -= 1
    return push(out, end, x, y, 1.0)


@kernel
def _fall(out: F64, end: int, x: float, y: float, low_x: float, low_y: float, length: float) -> int:
    """Take the lower of `out` and what a fall to (low_x, low_y) adds.

    That is the line from (x − length, y) to (low_x − length, low_y), then level up to low_x. From x − length on `out`
    never falls, so the two cross once: points are taken off the end until they have.
    """
    begin, edge = x - length, low_x - length
    past_x, past_y = out[0, end - 1], y + 1.0
    steep = (low_y - y) / (edge - begin) if edge > begin else 0.0
    for piece in range(2):  # the level, then the line before it
        start = edge if piece == 0 else begin
        whole = True
        while whole and out[0, end - 1] >= start:
            line = low_y if piece == 0 else y + steep * (out[0, end - 1] - begin)
            if out[1, end - 1] <= line:
                break
            past_x, past_y = out[0, end - 1], out[1, end - 1]
            end -= 1
            whole = end > 0 and out[2, end - 1] == 1.0
        if not whole:
            end = push(out, end, edge, low_y, 0.0)
            return push(out, end, low_x, low_y, 1.0)
        at_x, at_y = out[0, end - 1], out[1, end - 1]
        climb = (past_y - at_y) / (past_x - at_x) if past_x > at_x else 0.0
        if piece == 0:
            first = max(at_x, edge)
            if first <= past_x and at_y + climb * (first - at_x) <= low_y:
                if at_y < low_y:
                    end = push(out, end, at_x + ((low_y - at_y) / climb if climb > 0.0 else 0.0), low_y, 1.0)
                return push(out, end, low_x, low_y, 1.0)
    first, last = max(at_x, begin), min(past_x, edge)
    crossing, height = at_x, y + steep * (at_x - begin)
    if past_x > at_x:
        below = max(0.0, y + steep * (first - begin) - at_y - climb * (first - at_x))
        above = max(0.0, at_y + climb * (last - at_x) - (y + steep * (last - begin)))
        crossing = first + ((last - first) * below / (below + above) if below > 0.0 else 0.0)
        height = at_y + climb * (crossing - at_x)
    if crossing > at_x or height > at_y:
        end = push(out, end, crossing, height, 1.0)
    end = push(out, end, edge, low_y, 1.0)
    return push(out, end, low_x, low_y, 1.0)


@kernel
def slide(source: F64, count: int, shift: float, lift: float, slope: float, length: float, out: F64) -> int:
    """Minimum over d in [0, length] of source(x + shift + d) + lift + slope·d: infimal convolution with a segment.

    With slope·x added it is the least of the source in a window of `length`: what falls appears `length` earlier, each
    valley stays as long as the window, what rises stays in place. Returns the count of `out`.
    """
    end, last_x, last_y = 0, 0.0, 0.0
    for index in range(count):
        x = source[0, index] - shift
        y = source[1, index] + lift + slope * x
        joined = index > 0 and source[2, index - 1] == 1.0
        if joined and y >= last_y:
            end = push(out, end, x, y, 1.0)
        elif joined or (end > 0 and x - length <= out[0, end - 1]):
            if not joined:  # the window reaches back over the gap: as if the function fell at once
                last_x, last_y = x, max(y, out[1, end - 1]) + 1.0
            end = _fall(out, end, last_x, last_y, x, y, length)
        else:
            end = push(out, end, x - length, y, 0.0)
            end = push(out, end, x, y, 1.0)
        last_x, last_y = x, y
    for index in range(end):
        out[1, index] -= slope * out[0, index]
    return end


@kernel
def line_at(curve: F64, index: int, x: float) -> float:
    """The line from point `index` to the next, of another x, at `x`."""
    left, right = curve[0, index], curve[0, index + 1]
    if x >= right:
        return float(curve[1, index + 1])
    if x <= left:
        return float(curve[1, index])
    return float(curve[1, index] + (curve[1, index + 1] - curve[1, index]) * ((x - left) / (right - left)))


@kernel
def _goes_on(curve: F64, count: int, index: int) -> bool:
    """Whether the function has values just left of point `index`."""
    return bool(0 < index < count and curve[2, index - 1] == 1.0)


@kernel
def _pass(curve: F64, count: int, index: int, x: float, here: float) -> tuple[int, float, float, float]:
    """Go past the points at `x` from `index` on: (the next index, least y at x, y just right of x, slope from there).

    `here` is y where x is between points; y is +inf where there is no value.
    """
    least, start = here, index
    while index < count and curve[0, index] <= x + SAME:
        least = min(least, curve[1, index])
        index += 1
    if not _goes_on(curve, count, index):
        return index, least, np.inf, 0.0
    last = index - 1
    slope = (curve[1, index] - curve[1, last]) / (curve[0, index] - curve[0, last])
    return index, least, here if index == start else curve[1, last], slope


@kernel
def _until(curve: F64, index: int, x: float, here: float, slope: float, stop: float) -> float:
    """Where the line through (x, here) towards point `index` is at `stop`."""
    if here == np.inf:
        return here
    return float(curve[1, index] if curve[0, index] <= stop + SAME else here + slope * (stop - x))


@kernel
def lower(one: F64, one_count: int, other: F64, other_count: int, out: F64) -> int:
    """The lower of two functions wherever either has a value. Returns the count of `out`."""
    i, j, end, joined, none = 0, 0, 0, 0.0, np.inf
    one_y, other_y, line = none, none, np.empty((2, 4))
    while i < one_count or j < other_count:
        x = min(one[0, i] if i < one_count else none, other[0, j] if j < other_count else none)
        i, least, one_y, one_slope = _pass(one, one_count, i, x, one_y)
        j, other_least, other_y, other_slope = _pass(other, other_count, j, x, other_y)
        start = min(one_y, other_y)
        line[0, 0], line[1, 0], points = x, min(least, other_least, start), 1
        if start < none:
            stop = min(one[0, i] if i < one_count else none, other[0, j] if j < other_count else none)
            one_stop = _until(one, i, x, one_y, one_slope, stop)
            other_stop = _until(other, j, x, other_y, other_slope, stop)
            line[0, 1], line[1, 1], points = x, start, 3
            before, after = one_y - other_y, one_stop - other_stop
            if before * after < 0.0:
                share = before / (before - after)
                line[0, 2], line[1, 2], points = x + (stop - x) * share, one_y + (one_stop - one_y) * share, 4
            line[0, points - 1], line[1, points - 1] = stop, min(one_stop, other_stop)
            one_y, other_y = one_stop, other_stop
        first = 2 if joined == 1.0 and line[1, 0] == out[1, end - 1] == start else 0  # it goes on without a jump
        for point in range(first, points):
            end = add(out, end, line[0, point], line[1, point], joined)
            joined = 1.0
        joined = 1.0 if points > 1 else 0.0
    return end


@kernel
def restrict(curve: F64, count: int, left: float, right: float, slack: float, out: F64) -> int:
    """The function on [left, right] only. What lies less than `slack` outside counts as on the bound.

    So rounding loses neither a part that ends just short of a bound, nor the foot of a jump that belongs on it.
    """
    end = 0
    for index in range(count):
        x, y = curve[0, index], curve[1, index]
        joined = curve[2, index - 1] if index > 0 else 0.0
        if x < left - slack:
            continue
        if joined == 1.0 and x >= left and curve[0, index - 1] < left - slack:
            end = add(out, end, left, line_at(curve, index - 1, left), 0.0)
        if x > right + slack:
            if joined == 1.0 and curve[0, index - 1] < right:
                end = add(out, end, right, line_at(curve, index - 1, right), joined)
            break
        end = add(out, end, min(max(x, left), right), y, joined)
    return end


@kernel
def find(curve: F64, count: int, x: float) -> int:
    """The first point whose x is `x` or more; `count` where there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if curve[0, middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def value(curve: F64, count: int, x: float) -> float:
    """The function at `x`, +inf where it has no value."""
    index, least = find(curve, count, x), np.inf
    if _goes_on(curve, count, index) and curve[0, index] > x:
        return line_at(curve, index - 1, x)
    while index < count and curve[0, index] == x:
        least = min(least, curve[1, index])
        index += 1
    return float(least)


@kernel
def near(curve: F64, count: int, x: float, slack: float, jump: float) -> tuple[float, float]:
    """The function at `x`, or its least point within `slack` if lower by over `jump`: (y, +inf if none, and its x)."""
    own = value(curve, count, x)
    least, at, index = own - jump, x, find(curve, count, x - slack)
    while index < count and curve[0, index] <= x + slack:
        if curve[1, index] < least:
            least, at = curve[1, index], curve[0, index]
        index += 1
    return (own if at == x else least), at


@kernel
def convex_end(curve: F64, count: int, first: int) -> int:
    """The last point of the convex run that begins at point `first`."""
    last, slope = first, -np.inf
    while last + 1 < count and curve[2, last] == 1.0:
        width = curve[0, last + 1] - curve[0, last]
        if width > 0.0:
            steeper = (curve[1, last + 1] - curve[1, last]) / width
            if steeper < slope - SAME:
                break
            slope = steeper
        last += 1
    return last
