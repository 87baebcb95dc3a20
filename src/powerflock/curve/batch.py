"""Many convex piecewise-linear functions as flat columns: what the algebra works on.

Invariants: every function is convex (its slopes ascend), finite on its closed interval [left, left + Σ length] and
infinite outside; a function without pieces lives on one point. Must not know what positions, values and slopes mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.errors import InvalidInput, NotConvex

Numbers: TypeAlias = float | Sequence[float] | npt.NDArray[np.generic]
"""One number for all curves, or one for each."""
Rows: TypeAlias = Sequence[Sequence[float] | npt.NDArray[np.generic]] | npt.NDArray[np.generic]
"""One row of numbers for each curve; rows may differ in length."""

_ROUNDING = 16 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """N functions: curve i begins at `left[i]` with the value `base[i]`, and owns pieces offsets[i] … offsets[i+1] − 1.

    `left, base` (N,) float64, `offsets` (N+1,) int64 from 0 to M, `slope, length` (M,) float64: slopes ascend within
    a curve, lengths are ≥ 0. Build them with `of` or `through`, which check the numbers; the class itself checks only
    that the columns fit together. Whatever the unit of positions is, slopes are values per that unit.
    """

    left: F64
    base: F64
    offsets: I64
    slope: F64
    length: F64

    def __post_init__(self) -> None:
        for field in fields(self):
            column, kind = getattr(self, field.name), np.int64 if field.name == "offsets" else np.float64
            if column.dtype != kind or column.ndim != 1:
                found = f"{column.dtype} of shape {column.shape}"
                raise InvalidInput(field.name, found, f"must be one row of {np.dtype(kind)}", "Use `Curves.of`.")
        sizes = (self.left.size, self.base.size, self.offsets.size - 1)
        if len(set(sizes)) != 1:
            raise InvalidInput("sizes of left, base and offsets − 1", sizes, "must be equal")
        if self.slope.size != self.length.size or self.offsets[-1] != self.slope.size:
            sizes = (self.slope.size, self.length.size, int(self.offsets[-1]))
            raise InvalidInput("sizes of slope, length and the last offset", sizes, "must be equal")
        if self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any():
            raise InvalidInput("offsets", self.offsets[:5].tolist(), "must ascend from 0")

    @staticmethod
    def of(
        left: Numbers, slope: Rows, length: Rows, base: Numbers = 0.0, count: Sequence[int] | I64 | None = None
    ) -> Curves:
        """Curves from rows of slopes and lengths, of which the first `count[i]` are read (all where it is None).

        Raises `InvalidInput` naming the curve and the field (not finite, a negative length, rows that do not fit) and
        `NotConvex` where slopes descend.

        >>> two = Curves.of(left=0.0, slope=[[-0.3, 0.1], [0.2]], length=[[2.0, 1.0], [4.0]])
        >>> len(two), two.right
        (2, array([3., 4.]))
        """
        slopes, offsets = _flat("slope", slope, count)
        lengths, ends = _flat("length", length, count)
        if not np.array_equal(offsets, ends):
            curve = _first(np.diff(offsets) != np.diff(ends)) if offsets.size == ends.size else offsets.size - 1
            raise InvalidInput(f"curve {curve}: pieces in length", ends.tolist()[:9], "must be as many as in slope")
        curves = offsets.size - 1
        built = Curves(per_curve("left", left, curves), per_curve("base", base, curves), offsets, slopes, lengths)
        _check(built)
        return built

    @staticmethod
    def through(position: Rows, value: Rows) -> Curves:
        """Curves through breakpoints, each with one or more, its positions strictly ascending.

        Raises `InvalidInput` naming the curve and the field, and `NotConvex` where the points bend down by more than
        the rounding of their values.

        >>> Curves.through(position=[[0.0, 2.0, 3.0]], value=[[1.0, 0.0, 4.0]]).slope
        array([-0.5,  4. ])
        """
        x, offsets = _flat("position", position)
        y, ends = _flat("value", value)
        if not np.array_equal(offsets, ends):
            raise InvalidInput("points in value", np.diff(ends).tolist()[:9], "must be as many as in position")
        if (np.diff(offsets) < 1).any():
            raise InvalidInput(f"curve {_first(np.diff(offsets) < 1)}: position", [], "must have one point or more")
        for name, column in (("position", x), ("value", y)):
            _refuse(name, column, ~np.isfinite(column), offsets, "must be a finite number")
        inside = np.ones(x.size, np.bool_)
        inside[offsets[:-1]] = False
        rise, run = np.diff(y, prepend=y[:1])[inside], np.diff(x, prepend=x[:1])[inside]
        pieces = offsets - np.arange(offsets.size)
        _refuse("step of position", run, ~(run > 0), pieces, "must be above 0")
        with np.errstate(over="ignore"):  # refused below, with the curve's name
            slope, size = rise / run, np.abs(y)
        _level(slope, pieces, _ROUNDING * (size + np.roll(size, 1))[inside] / run)
        built = Curves(x[offsets[:-1]], y[offsets[:-1]], pieces, slope, run)
        _check(built)
        return built

    def __len__(self) -> int:
        return int(self.left.size)

    @property
    def right(self) -> F64:
        """(N,) where the curves end: `left` and the lengths, added from left to right."""
        out = np.empty(len(self))
        _ends(self.left, self.offsets, self.length, out)
        return out

    def points(self, curve: int) -> tuple[F64, F64]:
        """Breakpoints (positions, values) of one curve with both ends: what to draw, and what `through` takes."""
        own = slice(self.offsets[curve], self.offsets[curve + 1])
        steps, rises = self.length[own], self.slope[own] * self.length[own]
        return np.cumsum([self.left[curve], *steps]), np.cumsum([self.base[curve], *rises])

    def rows(self, part: slice) -> Curves:
        """The curves in `part` (step 1), sharing memory."""
        first, end, _ = part.indices(len(self))
        own = slice(self.offsets[first], self.offsets[end])
        offsets = self.offsets[first : end + 1] - self.offsets[first]
        return Curves(self.left[first:end], self.base[first:end], offsets, self.slope[own], self.length[own])


def per_curve(name: str, values: Numbers, curves: int) -> F64:
    """(N,) float64 of its own from one number for all curves, or one for each; `InvalidInput` where it is neither."""
    given = numbers(name, values)
    try:
        return np.array(np.broadcast_to(given, (curves,)))
    except ValueError as error:
        raise InvalidInput(f"shape of {name}", given.shape, f"must be ({curves},), or one number for all") from error


def numbers(name: str, values: npt.ArrayLike) -> F64:
    """`values` as float64, of any shape; `InvalidInput` where they are no numbers."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(name, str(values)[:60], "must be a number or numbers") from error


def _flat(name: str, rows: Rows, count: Sequence[int] | I64 | None = None) -> tuple[F64, I64]:
    """The rows' numbers one after another, and where each row begins and the last one ends."""
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        flat, sizes = numbers(name, rows).ravel(), np.full(rows.shape[0], rows.shape[1])
    else:
        own = [numbers(name, row) for row in rows]
        if any(row.ndim != 1 for row in own):
            raise InvalidInput(f"shape of {name}", own[0].shape, "must be one row of numbers for each curve")
        flat, sizes = np.concatenate([np.zeros(0), *own]), np.array([row.size for row in own], np.int64)
    if count is not None:
        read = np.asarray(count)
        if read.shape != sizes.shape or read.dtype.kind not in "iu" or ((read < 0) | (read > sizes)).any():
            raise InvalidInput("count", read[:9].tolist(), f"must be whole numbers, one for each row of {name}")
        place = np.arange(flat.size) - np.repeat(_offsets(sizes)[:-1], sizes)
        flat, sizes = flat[place < np.repeat(read, sizes)], read
    return flat, _offsets(sizes)


def _offsets(sizes: I64) -> I64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _check(curves: Curves) -> None:
    """Refuse numbers that are no convex function, naming the curve and the field."""
    alone = np.arange(len(curves) + 1)
    for name, column in (("left", curves.left), ("base", curves.base)):
        _refuse(name, column, ~np.isfinite(column), alone, "must be a finite number")
    _refuse("slope", curves.slope, ~np.isfinite(curves.slope), curves.offsets, "must be a finite number")
    wrong = ~(np.isfinite(curves.length) & (curves.length >= 0))
    _refuse("length", curves.length, wrong, curves.offsets, "must be finite and 0 or more")
    _level(curves.slope, curves.offsets, np.zeros(curves.slope.size))


def _refuse(name: str, column: F64, wrong: Bools, offsets: I64, bound: str) -> None:
    if wrong.any():
        at = _first(wrong)
        curve = int(np.searchsorted(offsets, at, side="right")) - 1
        raise InvalidInput(f"curve {curve}: {name}", float(column[at]), bound)


def _level(slope: F64, offsets: I64, room: F64) -> None:
    """Raise slopes that descend by rounding, `room` (M,), to the ones before, in place; `NotConvex` where by more."""
    drop = np.zeros(slope.size)
    drop[1:] = slope[:-1] - slope[1:]
    drop[offsets[:-1][offsets[:-1] < slope.size]] = 0.0
    allowed = room.copy()
    allowed[1:] += room[:-1]
    if (drop > allowed).any():
        at = _first(drop > allowed)
        curve = int(np.searchsorted(offsets, at, side="right")) - 1
        bound = f"comes after {float(slope[at - 1])!r}, and slopes must ascend"
        raise NotConvex(f"curve {curve}: slope", float(slope[at]), bound)
    if (drop > 0.0).any():
        for first, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            slope[first:end] = np.maximum.accumulate(slope[first:end])


def _first(wrong: Bools) -> int:
    return int(np.flatnonzero(wrong)[0])


@kernel
def _ends(left: F64, offsets: I64, length: F64, out: F64) -> None:
    for curve in range(left.size):
        end = left[curve]
        for piece in range(offsets[curve], offsets[curve + 1]):
            end += length[piece]
        out[curve] = end
