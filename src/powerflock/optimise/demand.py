"""What a billing period's highest import costs: demand charges.

Each charge counts the import in its own intervals (any time, weekday evenings, …) and is paid on the period's highest,
what is billed already included, in blocks of $/kW that never get cheaper: convex. Must not know how plans are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, Bools
from powerflock.domain.errors import InvalidInput, NotConvex
from powerflock.optimise.problem import SiteProblems, Values, column


@dataclass(frozen=True, slots=True)
class DemandCharges:
    """C charges for S homes, to the end of the billing period.

    `counts` (C, T) bool: where import counts. `billed_kw` (S, C) ≥ 0: the period's highest so far. `block_from_kw` and
    `per_kw` (C, B): where each block of the price begins, the first at 0, and its price for the period, $/kW.
    """

    counts: Bools
    billed_kw: F64
    block_from_kw: F64
    per_kw: F64

    @staticmethod
    def of(
        problems: SiteProblems, *, per_kw: Values, counts: Values = 1.0, billed_kw: Values = 0.0,
        block_from_kw: Values = 0.0,
    ) -> DemandCharges:  # fmt: skip
        """The charges of `problems`' homes.

        `per_kw` is one number for one charge, (B,) for its blocks or (C, B); `counts` one number, (T,) or (C, T);
        `block_from_kw` (B,) or (C, B); `billed_kw` one number, (S, 1) or (S, C). Raises `InvalidInput` and `NotConvex`.
        """
        prices, windows = np.atleast_2d(np.asarray(per_kw, np.float64)), np.asarray(counts)
        charges = windows.shape[0] if windows.ndim > 1 else prices.shape[0]
        blocks = (charges, prices.shape[1])
        made = DemandCharges(
            column("counts", windows, (charges, problems.intervals)) != 0,
            column("billed_kw", billed_kw, (problems.homes, charges)),
            column("block_from_kw", block_from_kw, blocks),
            column("per_kw", prices, blocks),
        )
        made.check(problems)
        return made

    def check(self, problems: SiteProblems) -> None:
        """Refuse shapes that do not fit and prices that are unknown, negative or fall from block to block."""
        charges = self.per_kw.shape[0]
        shapes = {
            "counts": (charges, problems.intervals),
            "billed_kw": (problems.homes, charges),
            "block_from_kw": self.per_kw.shape,
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InvalidInput(f"shape of {name}", getattr(self, name).shape, f"must be {shape}")
        for charge, (begins, prices) in enumerate(zip(self.block_from_kw, self.per_kw, strict=True)):
            if not (np.isfinite(prices).all() and (prices >= 0).all()):
                raise InvalidInput(f"charge {charge}: per_kw", prices.tolist(), "must be finite and 0 or more")
            if (np.diff(prices) < 0).any():
                raise NotConvex(f"charge {charge}: per_kw", prices.tolist(), "must not fall from block to block")
            if begins[0] != 0 or not np.isfinite(begins).all() or (np.diff(begins) <= 0).any():
                raise InvalidInput(f"charge {charge}: block_from_kw", begins.tolist(), "must rise, and begin at 0")

    def faults(self) -> dict[int, InvalidInput]:
        """The homes whose `billed_kw` is not a number ≥ 0."""
        found = {}
        for home, charge in np.argwhere(~(np.isfinite(self.billed_kw) & (self.billed_kw >= 0)))[::-1].tolist():
            value = float(self.billed_kw[home, charge])
            found[home] = InvalidInput(
                f"home {home}, charge {charge}: billed_kw", value, "must be finite and 0 or more"
            )
        return found

    def cost(self, peak_kw: F64) -> F64:
        """(..., C) $ of the whole period at peaks `peak_kw` (..., C)."""
        rises = np.diff(self.per_kw, axis=1, prepend=0.0)
        over = np.maximum(peak_kw[..., None] - self.block_from_kw, 0.0)
        return np.asarray((over * rises).sum(axis=-1))

    def highest(self, net_kw: F64) -> F64:
        """(S, C) the period's highest import, what is billed already included, after `net_kw` (S, T)."""
        counted = np.where(self.counts, net_kw[:, None, :], 0.0)
        return np.asarray(np.maximum(self.billed_kw, counted.max(axis=-1, initial=0.0)))
