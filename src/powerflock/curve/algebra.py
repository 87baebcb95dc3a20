"""The algebra of convex piecewise-linear functions, many at a time: merge, clip, evaluate, conjugate, respond, sum.

Invariants: what comes out is convex again; a curve's result depends on that curve alone, not on the batch around it;
compiled and plain kernels give the same bits. Ends are read generously, because sums of lengths are rounded: a position
within 10⁻¹² × (1 + |left| + |right|) of an end counts as on it.
Source of all formulas: Rockafellar, Convex Analysis (1970), sections 5, 12, 16 and 23.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from powerflock.curve.batch import Curves, Numbers, numbers, per_curve
from powerflock.curve.jit import kernel
from powerflock.curve.slopes import clip_left, clip_right, insert, value_at
from powerflock.domain.arrays import F64, I64
from powerflock.domain.errors import Infeasible, InvalidInput

_ON_THE_END = 1e-12


def merge(one: Curves, other: Curves) -> Curves:
    """Infimal convolution, pair by pair: h(z) = min over x of f(x) + g(z − x), the cheapest split of z between both.

    Its pieces are those of both in ascending order. `InvalidInput` where the batches differ in size.

    >>> from powerflock.curve import Curves, evaluate, merge
    >>> battery, car = Curves.of(0.0, [[0.1, 0.3]], [[2.0, 2.0]]), Curves.of(0.0, [[0.2]], [[5.0]])
    >>> both = merge(battery, car)
    >>> both.slope, both.length, both.right
    (array([0.1, 0.2, 0.3]), array([2., 5., 2.]), array([9.]))
    >>> evaluate(both, [3.0])  # two from the battery at 0.1, one from the car at 0.2
    array([[0.4]])
    """
    if len(one) != len(other):
        raise InvalidInput("curves in the two batches", (len(one), len(other)), "must be as many in both")
    slope, length = np.empty(one.slope.size + other.slope.size), np.empty(one.slope.size + other.slope.size)
    begins = np.empty(int(np.diff(other.offsets).max(initial=0)))
    _merge(one.offsets, one.slope, one.length, other.offsets, other.slope, other.length, begins, slope, length)
    return Curves(one.left + other.left, one.base + other.base, one.offsets + other.offsets, slope, length)


def clip(curves: Curves, low: Numbers, high: Numbers) -> Curves:
    """The functions on [low, high] only, each bound one number or (N,); ±inf leaves that side as it is.

    Raises `InvalidInput` for NaN and inverted bounds, `Infeasible` where nothing of a curve is left, naming the curve.
    """
    floor, ceiling, right = *_bounds("low", low, "high", high, len(curves)), curves.right
    room = _ON_THE_END * (1.0 + np.abs(curves.left) + np.abs(right))
    for name, bound, wrong in (("low", floor, floor > right + room), ("high", ceiling, ceiling < curves.left - room)):
        if wrong.any():
            curve = int(np.flatnonzero(wrong)[0])
            domain = f"leaves nothing of [{float(curves.left[curve])!r}, {float(right[curve])!r}]"
            raise Infeasible(f"curve {curve}: {name}", float(bound[curve]), domain, "Widen the bounds.")
    slope, length, base, offsets = curves.slope.copy(), curves.length.copy(), curves.base.copy(), curves.offsets.copy()
    used = _clip(curves.left, right, floor, ceiling, curves.offsets, base, offsets, slope, length)
    left = np.minimum(np.maximum(curves.left, floor), right)
    return Curves(left, base, offsets, slope[:used].copy(), length[:used].copy())


def evaluate(curves: Curves, positions: npt.ArrayLike) -> F64:
    """(N, X) values at `positions`, (X,) for all curves or (N, X) row by row: +inf outside a curve's interval.

    NaN gives NaN. `InvalidInput` where the positions' shape does not fit.
    """
    table = _table("positions", positions, len(curves))
    out = np.empty((len(curves), table.shape[1]))
    _evaluate(curves.left, curves.base, curves.offsets, curves.slope, curves.length, table, out)
    return out


def conjugate(curves: Curves, low: Numbers, high: Numbers) -> Curves:
    """Legendre transform f*(q) = max over x of q·x − f(x), for q in [low, high], each bound finite, one number or (N,).

    The roles change: the positions of f are the slopes of f*, f's slopes are where f* bends. f* is finite for every q,
    with slope `left` below f's slopes and `right` above, so any interval may be asked for. If it holds all of f's
    slopes, `conjugate(conjugate(f, low, high), f.left, f.right)` is f again; if not, f with its slopes limited to it.
    Raises `InvalidInput` for bounds that are not finite or inverted.

    >>> from powerflock.curve import Curves, conjugate
    >>> earning = conjugate(Curves.of(0.0, [[0.1, 0.3]], [[2.0, 2.0]]), 0.0, 0.5)
    >>> earning.slope, earning.length  # nothing below 0.1, two units up to 0.3, then four
    (array([0., 2., 4.]), array([0.1, 0.2, 0.2]))
    """
    floor, ceiling = _bounds("low", low, "high", high, len(curves))
    for name, bound in (("low", floor), ("high", ceiling)):
        if not np.isfinite(bound).all():
            curve = int(np.flatnonzero(~np.isfinite(bound))[0])
            raise InvalidInput(f"curve {curve}: {name}", float(bound[curve]), "must be a finite number")
    room = curves.slope.size + len(curves)
    base, offsets, slope, length = np.empty(len(curves)), np.zeros_like(curves.offsets), np.empty(room), np.empty(room)
    used = _conjugate(
        curves.left, curves.base, curves.offsets, curves.slope, curves.length, floor, ceiling,
        base, offsets, slope, length,
    )  # fmt: skip
    return Curves(floor, base, offsets, slope[:used].copy(), length[:used].copy())


def response(curves: Curves, prices: npt.ArrayLike) -> F64:
    """(N, P) the position that is cheapest at each price, argmin of f(x) + price·x: where f's slope crosses −price.

    The inverse of the slopes, −f*'(−price), non-increasing in the price. `prices` ascend, (P,) for all curves or
    (N, P) row by row. Where a whole piece is as cheap (its slope is −price exactly) the answer is its upper end.
    `InvalidInput` for prices that are NaN, do not ascend or do not fit.

    >>> from powerflock.curve import Curves, response
    >>> response(Curves.of(-1.0, [[-0.4, -0.2]], [[2.0, 3.0]]), [0.1, 0.2, 0.3, 0.5])
    array([[ 4.,  4.,  1., -1.]])
    """
    table = _table("prices", prices, len(curves))
    if np.isnan(table).any() or (np.diff(table, axis=1) < 0).any():
        raise InvalidInput("prices", table[0, :5].tolist(), "must ascend and none may be NaN")
    out = np.empty((len(curves), table.shape[1]))
    _response(curves.left, curves.offsets, curves.slope, curves.length, table, out)
    return out


def sum_on_grid(responses: F64, group: I64, groups: int) -> F64:
    """(G, P) sums of the (N, P) `responses` of each group's members, `group` (N,) whole numbers below `groups`.

    Members are added one after another in their order, so the bits are those of the same additions by hand. A NaN
    makes its group's sum NaN at that price: whoever leaves the unknown out does so before. `InvalidInput` where
    the shapes do not fit or a group does not exist.
    """
    table, member = numbers("responses", responses), np.asarray(group)
    if table.ndim != 2 or member.shape != table.shape[:1]:
        shapes = (table.shape, member.shape)
        raise InvalidInput("shapes of responses and group", shapes, "must be (curves, prices) and (curves,)")
    if member.dtype.kind not in "iu" or ((member < 0) | (member >= groups)).any():
        raise InvalidInput("group", member[:9].tolist(), f"must be whole numbers from 0 to {groups - 1}")
    sums = np.zeros((groups, table.shape[1]))
    _sum(np.ascontiguousarray(table), member.astype(np.int64), sums)
    return sums


def _bounds(low_name: str, low: Numbers, high_name: str, high: Numbers, curves: int) -> tuple[F64, F64]:
    floor, ceiling = per_curve(low_name, low, curves), per_curve(high_name, high, curves)
    if not (floor <= ceiling).all():
        curve = int(np.flatnonzero(~(floor <= ceiling))[0])
        bound = f"must be a number not above {high_name}, {float(ceiling[curve])!r}"
        raise InvalidInput(f"curve {curve}: {low_name}", float(floor[curve]), bound)
    return floor, ceiling


def _table(name: str, values: npt.ArrayLike, curves: int) -> F64:
    """`values` as (1, X) for all curves or (N, X)."""
    table = np.ascontiguousarray(np.atleast_2d(numbers(name, values)))
    if table.ndim != 2 or table.shape[0] not in {1, curves}:
        raise InvalidInput(f"shape of {name}", np.shape(values), f"must be one row for all, or {curves} rows")
    return table


@kernel
def _merge(
    offsets: I64, slope: F64, length: F64, add_offsets: I64, add_slope: F64, add_length: F64, begins: F64,
    out_slope: F64, out_length: F64,
) -> None:  # fmt: skip
    used = 0
    for curve in range(offsets.size - 1):
        start = used
        for piece in range(offsets[curve], offsets[curve + 1]):
            out_slope[used], out_length[used] = slope[piece], length[piece]
            used += 1
        first, end = add_offsets[curve], add_offsets[curve + 1]
        used = insert(
            out_slope, out_length, start, used, add_slope[first:end], add_length[first:end], end - first, 0.0, begins
        )


@kernel
def _clip(
    left: F64, right: F64, low: F64, high: F64, offsets: I64, base: F64, out_offsets: I64, slope: F64, length: F64
) -> int:
    """Clip each curve in place and close the gaps; returns how many pieces are left."""
    used = 0
    for curve in range(left.size):
        first, end = offsets[curve], offsets[curve + 1]
        end = clip_right(length, first, end, right[curve] - high[curve])
        first, rise = clip_left(slope, length, first, end, low[curve] - left[curve])
        base[curve] += rise
        for piece in range(first, end):
            slope[used], length[used] = slope[piece], length[piece]
            used += 1
        out_offsets[curve + 1] = used
    return used


@kernel
def _evaluate(left: F64, base: F64, offsets: I64, slope: F64, length: F64, positions: F64, out: F64) -> None:
    for curve in range(left.size):
        first, end = offsets[curve], offsets[curve + 1]
        right = left[curve]
        for piece in range(first, end):
            right += length[piece]
        room = _ON_THE_END * (1.0 + abs(left[curve]) + abs(right))
        row = positions[curve] if positions.shape[0] > 1 else positions[0]
        for column in range(row.size):
            at = row[column]
            if np.isnan(at):
                out[curve, column] = np.nan
            elif at < left[curve] - room or at > right + room:
                out[curve, column] = np.inf
            else:
                out[curve, column] = value_at(
                    left[curve], base[curve], slope[first:end], length[first:end], end - first, at
                )


@kernel
def _conjugate(
    left: F64, base: F64, offsets: I64, slope: F64, length: F64, low: F64, high: F64,
    out_base: F64, out_offsets: I64, out_slope: F64, out_length: F64,
) -> int:  # fmt: skip
    """Fill the transforms, without pieces of no length; returns how many pieces they have."""
    used = 0
    for curve in range(left.size):
        piece, end = offsets[curve], offsets[curve + 1]
        position, at = left[curve], low[curve]
        value = at * position - base[curve]
        while piece < end and slope[piece] <= at:
            value += (at - slope[piece]) * length[piece]
            position += length[piece]
            piece += 1
        out_base[curve] = value
        while at < high[curve]:
            bend = min(slope[piece], high[curve]) if piece < end else high[curve]
            if bend > at:
                out_slope[used], out_length[used] = position, bend - at
                used += 1
                at = bend
            if piece < end:
                position += length[piece]
                piece += 1
        out_offsets[curve + 1] = used
    return used


@kernel
def _response(left: F64, offsets: I64, slope: F64, length: F64, prices: F64, out: F64) -> None:
    for curve in range(left.size):
        row = prices[curve] if prices.shape[0] > 1 else prices[0]
        piece, end, position = offsets[curve], offsets[curve + 1], left[curve]
        for column in range(row.size - 1, -1, -1):
            while piece < end and slope[piece] <= -row[column]:
                position += length[piece]
                piece += 1
            out[curve, column] = position


@kernel
def _sum(responses: F64, group: I64, sums: F64) -> None:
    for member in range(group.size):
        for column in range(responses.shape[1]):
            sums[group[member], column] += responses[member, column]
