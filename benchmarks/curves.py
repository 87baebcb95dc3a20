"""How long the algebra of curves takes by the batch, against numpy curve by curve; every result is compared."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.rows import Row, less_is_better, median_s
from powerflock.curve import PRICE_GRID, Curves, clip, merge, response
from powerflock.domain.arrays import F64

NAME = "curves"
SUMMARY = "convex curves of 1 to 10 pieces merged, clipped and asked for 41 prices, against numpy one curve at a time"

CURVES, QUICK_CURVES = 100_000, 20_000
COMPARED, QUICK_COMPARED = 10_000, 2_000


def run(*, quick: bool) -> list[Row]:
    """Rows: ns per curve of three operations on the whole batch; numpy's on some of the curves, in the same run."""
    number, compared, runs = (QUICK_CURVES, QUICK_COMPARED, 3) if quick else (CURVES, COMPARED, 7)
    rng = np.random.default_rng(1)
    one, other = _random(rng, number), _random(rng, number)
    both = merge(one, other)
    low = both.left + 0.3 * (both.right - both.left)
    few, few_other, few_both = (curves.rows(slice(compared)) for curves in (one, other, both))
    cases: tuple[tuple[str, Callable[[], F64], Callable[[], F64]], ...] = (
        ("merged in pairs", lambda: merge(one, other).length, lambda: _merge(few, few_other)),
        ("clipped", lambda: clip(both, low, np.inf).length, lambda: _clip(few_both, low)),
        ("asked for 41 prices", lambda: response(both, PRICE_GRID).ravel(), lambda: _response(few_both)),
    )
    rows = []
    for what, ours, theirs in cases:
        expected = theirs()
        if not np.allclose(ours()[: expected.size], expected, rtol=1e-9, atol=1e-9):
            raise RuntimeError(f"curves {what}: the batch and numpy curve by curve differ")
        ours_ns = median_s(ours, runs) / number * 1e9
        start = time.perf_counter()
        theirs()
        theirs_ns = (time.perf_counter() - start) / compared * 1e9
        rows.append(less_is_better(f"{number:,} curves {what}", ours_ns, "ns/curve", "numpy", theirs_ns))
    return rows


def _random(rng: np.random.Generator, number: int) -> Curves:
    slope = np.sort(rng.normal(0.0, 0.3, (number, 10)), axis=1)
    count = rng.integers(1, 11, number)
    return Curves.of(rng.normal(0.0, 3.0, number), slope, rng.exponential(2.0, slope.shape), 0.0, count)


def _pieces(curves: Curves, curve: int) -> tuple[F64, F64]:
    own = slice(curves.offsets[curve], curves.offsets[curve + 1])
    return curves.slope[own], curves.length[own]


def _merge(one: Curves, other: Curves) -> F64:
    merged = []
    for curve in range(len(one)):
        (slope, length), (more, lengths) = _pieces(one, curve), _pieces(other, curve)
        order = np.argsort(np.concatenate([slope, more]), kind="stable")
        merged.append(np.concatenate([length, lengths])[order])
    return np.concatenate(merged)


def _clip(curves: Curves, low: F64) -> F64:
    """Pieces cut away whole are left out, as the batch does."""
    clipped = []
    for curve in range(len(curves)):
        ends = curves.left[curve] + np.concatenate([[0.0], np.cumsum(_pieces(curves, curve)[1])])
        kept = np.diff(np.maximum(ends, low[curve]))
        clipped.append(kept[kept > 0.0])
    return np.concatenate(clipped)


def _response(curves: Curves) -> F64:
    answers = []
    for curve in range(len(curves)):
        slope, length = _pieces(curves, curve)
        ends = curves.left[curve] + np.concatenate([[0.0], np.cumsum(length)])
        answers.append(ends[np.searchsorted(slope, -PRICE_GRID, side="right")])
    return np.concatenate(answers)
