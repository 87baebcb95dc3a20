"""The least of a convex function of one number whose values cost much: few evaluations, and a proof when to stop.

The function is a falling one, such as what a limit costs a home, plus a known rising one, such as what the limit is
charged. The secants beside an interval bound it from below there, and where that bound is lowest it is evaluated next.
Where it is piecewise linear this ends at the exact minimum. A generator asks for values: many searches share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

A = TypeVar("A")
Asks: TypeAlias = Generator[list[list[float]], list[float], A]
"""Asks its caller for the values at a list of points, and ends with an A."""
Value: TypeAlias = tuple[float, list[float]]
"""A value, ∞ where there is none, and the whole point that it belongs to."""
Point: TypeAlias = tuple[float, float, list[float]]

_ROUNDS = 100
_NEAR, _ROUNDING = 1e-10, 1e-12


def minimise(
    evaluate: Callable[[list[float]], Asks[list[Value]]], rising: Callable[[float], float], low: float, high: float,
    kinks: list[float], tolerance: float,
) -> Asks[Value]:  # fmt: skip
    """The least value on [low, ∞), within `tolerance` and rounding; the function less `rising` is constant from `high`.

    `rising` may bend at `kinks`. Values of ∞ just above `low`, from rounding, move the search up.
    """
    if math.isinf(low):
        return math.inf, []
    step, width = _NEAR * (1.0 + low), high - low
    begin = [low + part * width for part in (0.0, 1e-3, 2e-3)]
    found = yield from evaluate(begin[:1] if width <= step else begin)
    while math.isinf(found[0][0]) and step < 1.0 + low:
        begin[0], step = low + step, 2.0 * step
        found[:1] = yield from evaluate(begin[:1])
    if width <= step:
        return found[0]
    points = sorted((x, *value) for x, value in zip(begin, found, strict=True))
    if points[0][1] <= points[1][1] <= points[2][1] and _below(points, 0, rising)[0] >= points[0][1] - tolerance:
        return found[0]
    others = sorted({*(kink for kink in kinks if begin[2] < kink < high), high})
    found = yield from evaluate(others)
    points += [(x, *value) for x, value in zip(others, found, strict=True)]
    after = high + width
    points.append((after, points[-1][1] + rising(after) - rising(high), []))
    return (yield from _narrow(evaluate, rising, points, tolerance))


def _narrow(
    evaluate: Callable[[list[float]], Asks[list[Value]]], rising: Callable[[float], float], points: list[Point],
    tolerance: float,
) -> Asks[Value]:  # fmt: skip
    """Add points where the bound is lowest, until it is proven that none can be lower than the best by `tolerance`."""
    before = math.inf
    for _ in range(_ROUNDS):
        best = min(range(len(points)), key=lambda index: points[index][1])
        beside = [j for j in (best - 1, best) if 0 <= j < len(points) - 2]
        bound, x, j = min((*_below(points, j, rising), j) for j in beside)
        left, right = points[j][0], points[j + 1][0]
        if points[best][1] - bound <= tolerance + _ROUNDING * abs(bound) or right - left <= _ROUNDING * (1.0 + right):
            break
        if right - left > 0.5 * before:
            x = 0.5 * (left + right)
        before = right - left
        room = 0.05 * min(x - left, right - x)
        tried = [x, x + room] if room > _NEAR * (1.0 + right) else [0.5 * (left + right)]
        values = yield from evaluate(tried)
        points = sorted([*points, *((at, *value) for at, value in zip(tried, values, strict=True))])
    value, levels = min(points, key=lambda point: point[1])[1:]
    return value, levels


def _below(points: list[Point], j: int, rising: Callable[[float], float]) -> tuple[float, float]:
    """A bound from below between points j and j + 1, and where it is reached."""
    (left, at_left, _), (right, at_right, _) = points[j], points[j + 1]
    slowest = at_right - rising(right) + rising(left)
    up = (points[j + 2][1] - at_right) / (points[j + 2][0] - right)
    if up <= 0.0:
        return at_right, right
    if j == 0:
        return max(slowest, at_right - up * (right - left)), 0.9 * left + 0.1 * right
    down = (at_left - points[j - 1][1]) / (left - points[j - 1][0])
    if down >= 0.0:
        return at_left, left
    x = min(max((at_right - at_left + down * left - up * right) / (down - up), left), right)
    return max(slowest, at_left + down * (x - left)), x
