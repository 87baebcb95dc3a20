"""A linear or mixed-integer programme for HiGHS, built in whole columns.

Minimises Σ cost·x over variables within bounds and rows lower ≤ Σ coefficient·x ≤ upper. One thread, no output, so
the same programme has the same answer everywhere. Must not know what its variables stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import highspy
import numpy as np
import numpy.typing as npt

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible, InvalidInput, Unsolved

INFINITE = float("inf")
Numbers: TypeAlias = float | F64
Term: TypeAlias = tuple[npt.NDArray[np.integer], Numbers]
"""Indices of variables (N,), or (N, K) for K of them in each row, and their coefficient, which broadcasts to that."""
_TOLERANCE = 1e-9
_NO_OPTIMUM = {
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnbounded,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
}


@dataclass(frozen=True, slots=True)
class Optimum:
    """`value` is the least cost, `x` of each variable, `dual` of each row: d(cost)/d(bound), NaN if mixed-integer.

    A mixed-integer optimum is proven to within `gap`, in units of cost; else that is 0.
    """

    value: float
    x: F64
    dual: F64
    gap: float


class Programme:
    """A programme to which variables and rows are added N at a time."""

    def __init__(self) -> None:
        self.variables = self.constraints = 0
        self._bounds: list[tuple[F64, F64, F64]] = []
        self._whole: list[I32] = []
        self._rows: list[tuple[F64, F64, list[int], F64, I32]] = []

    def add(self, count: int, lower: Numbers, upper: Numbers, cost: Numbers = 0.0, *, whole: bool = False) -> I32:
        """Add `count` variables and return their indices (N,) int32; each number is one for all or (N,)."""
        index = np.arange(self.variables, self.variables + count, dtype=np.int32)
        low, high, each = (_spread(value, (count,)) for value in (lower, upper, cost))
        self._bounds.append((low, high, each))
        self.variables += count
        if whole:
            self._whole.append(index)
        return index

    def require(self, lower: Numbers, upper: Numbers, *terms: Term) -> I32:
        """Add rows lower ≤ Σ terms ≤ upper, N of them as the terms' first axis has; returns their indices (N,) int32.

        Raises `InvalidInput` where a term's variables are not of this programme, or the terms differ in their rows.
        """
        count = terms[0][0].shape[0]
        columns = [index if index.ndim == 2 else index[:, None] for index, _ in terms if index.shape[0] == count]
        if len(columns) < len(terms):
            raise InvalidInput("rows of the terms", [index.shape[0] for index, _ in terms], "must be as many in each")
        index = np.concatenate(columns, axis=1).astype(np.int32)
        if index.size and not (index.min() >= 0 and index.max() < self.variables):
            raise InvalidInput("a term's variables", int(index.max()), f"must be below {self.variables}")
        values = [_spread(value, found.shape) for found, (_, value) in zip(columns, terms, strict=True)]
        low, high = _spread(lower, (count,)), _spread(upper, (count,))
        self._rows.append((low, high, [index.shape[1]] * count, np.concatenate(values, axis=1).ravel(), index.ravel()))
        self.constraints += count
        return np.arange(self.constraints - count, self.constraints, dtype=np.int32)

    def solve(self, *, relaxed: bool = False) -> Optimum:
        """The optimum, to a relative gap of 1e-9 with whole numbers unless `relaxed`.

        Raises `Infeasible` if there is none, and `Unsolved` where HiGHS gave up, so that nobody knows.
        """
        model, mixed = highspy.Highs(), bool(self._whole) and not relaxed
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("mip_rel_gap", _TOLERANCE),
            ("mip_abs_gap", 0.0),
        ):
            model.setOptionValue(option, value)
        for option in ("primal_feasibility_tolerance", "dual_feasibility_tolerance", "mip_feasibility_tolerance"):
            model.setOptionValue(option, _TOLERANCE)
        low, high, cost = (np.concatenate(column) for column in zip(*self._bounds, strict=True))
        model.addVars(low.size, low, high)
        model.changeColsCost(low.size, np.arange(low.size, dtype=np.int32), cost)
        if mixed:
            index = np.concatenate(self._whole)
            model.changeColsIntegrality(index.size, index, np.ones(index.size, np.uint8))
        self._add_rows(model)
        model.run()
        status = model.getModelStatus()
        if status in _NO_OPTIMUM:
            raise Infeasible("the programme", model.modelStatusToString(status), "has no optimum")
        if status != highspy.HighsModelStatus.kOptimal:
            raise Unsolved(f"HiGHS ended the programme with {model.modelStatusToString(status)!r}")
        found = model.getSolution()
        dual = np.full(self.constraints, np.nan) if mixed else np.array(found.row_dual)
        info = model.getInfo()
        gap = max(float(info.objective_function_value - info.mip_dual_bound), 0.0) if mixed else 0.0
        return Optimum(float(info.objective_function_value), np.array(found.col_value), dual, gap)

    def _add_rows(self, model: highspy.Highs) -> None:
        if not self._rows:
            return
        low, high, value, index = (np.concatenate([row[k] for row in self._rows]) for k in (0, 1, 3, 4))
        sizes = np.array([size for row in self._rows for size in row[2]])
        starts = (sizes.cumsum() - sizes).astype(np.int32)
        model.addRows(low.size, low, high, index.size, starts, index, value)


def _spread(value: Numbers, shape: tuple[int, ...]) -> F64:
    """`value` as an array of its own of `shape`; along the first axis if it has only that."""
    given = np.asarray(value, np.float64)
    if given.ndim == 1 and len(shape) == 2:
        given = given[:, None]
    return np.array(np.broadcast_to(given, shape))
