"""Policies out of value functions: for each home and interval the four energy levels that decide, exact for any state.

A level is where the slope of V at the interval's end, d V / d stored, crosses what a stored kWh costs or earns in the
interval: bought, kept from surplus, used at home, sold. Source: Powerflock design, section 6; the optimality condition
of infimal convolution, Rockafellar, Convex Analysis (1970), section 16. Must not know who follows a policy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import Basis, Levels, Policy
from powerflock.domain.policy_bytes import policies_to_bytes
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper, ValueFunctions, solve

LEVELS = 4
_BLOCK = 16


@kernel
def _levels(
    buy: F64, sell: F64, tariff: I32, price: F64, wear: F64, charge: F64, discharge: F64,
    left: F64, count: I32, slope: F64, length: F64, levels: F64,
) -> None:  # fmt: skip
    """Fill `levels` (S, K, 4): at each threshold, where the value function's smaller slopes end."""
    for home in range(levels.shape[0]):
        row, cheaper = tariff[home], 1.0 / charge[home]
        for step in range(levels.shape[1]):
            bought, sold = buy[row, step] + price[step], sell[row, step] + price[step]
            levels[home, step, 0] = -(bought + wear[home]) * cheaper
            levels[home, step, 1] = -(sold + wear[home]) * cheaper
            levels[home, step, 2] = -(bought - wear[home]) * discharge[home]
            levels[home, step, 3] = -(sold - wear[home]) * discharge[home]
            for level in range(LEVELS):
                reached, threshold = left[home, step + 1], levels[home, step, level]
                for index in range(count[home, step + 1]):
                    if slope[home, step + 1, index] >= threshold:
                        break
                    reached += length[home, step + 1, index]
                levels[home, step, level] = reached


def levels_kwh(problems: SiteProblems, values: ValueFunctions) -> F64:
    """(S, K, 4) levels of the first K intervals, for `values` kept at the starts of intervals 0 … K; columns: `Levels`.

    Solar that can be switched off is not: where its export costs money, the levels take it for unavoidable.
    """
    cells, kept = problems.batteries, values.left.shape[1] - 1
    levels = np.empty((problems.homes, kept, LEVELS))
    _levels(
        problems.import_per_kwh, problems.export_per_kwh, problems.tariff, problems.coordination_per_kwh,
        cells.wear_per_kwh, cells.charge_efficiency_ratio, cells.discharge_efficiency_ratio,
        values.left, values.count, values.slope, values.length, levels,
    )  # fmt: skip
    sell = levels[:, :, 3]
    levels[:, :, :3] = np.minimum(levels[:, :, :3], sell[:, :, None])  # losses that pay are not for following
    levels[:, :, 1:3] = np.maximum(levels[:, :, 1:3], levels[:, :, :1])
    return levels


def solve_levels(problems: SiteProblems, mapper: Mapper = map) -> F64:
    """(S, T, 4) levels of every interval: solved in small blocks, so that no more than their value functions are held.

    Raises what `solve` raises.
    """
    solve(problems, 0, mapper)  # names a home that has no plan by its place in all, not in a block
    blocks = [slice(first, min(first + _BLOCK, problems.homes)) for first in range(0, problems.homes, _BLOCK)]

    def block(rows: slice) -> F64:
        part = problems.rows(rows)
        return levels_kwh(part, solve(part, part.intervals).values)

    found = list(mapper(block, blocks))
    return np.concatenate(found) if found else np.zeros((0, problems.intervals, LEVELS))


def policies_of(
    problems: SiteProblems, levels: F64, homes: Sequence[int] | I64, start_us: int, basis: Basis
) -> list[Policy]:  # fmt: skip
    """The policies of `homes`, whose levels are rows of `levels` (S, K, 4), from `start_us` on.

    `basis` says which prices `problems` has: the tariffs alone, or with the expected coordination price.
    """
    bounds = _bounds_us(problems, levels, start_us)
    into, out = (
        column[homes].tolist()
        for column in (problems.batteries.charge_efficiency_ratio, problems.batteries.discharge_efficiency_ratio)
    )
    rows = levels[homes].tolist()
    return [
        Policy(bounds, tuple(map(Levels._make, own)), charge, discharge, basis)
        for own, charge, discharge in zip(rows, into, out, strict=True)
    ]


def policy_payloads(problems: SiteProblems, levels: F64, start_us: int, basis: Basis) -> tuple[list[bytes], int]:
    """The policies of all homes as bytes, as `policies_of` and `to_bytes` would make them; and until when they hold."""
    bounds = _bounds_us(problems, levels, start_us)
    ratios = problems.batteries.charge_efficiency_ratio, problems.batteries.discharge_efficiency_ratio
    return policies_to_bytes(bounds, levels, *ratios, basis), bounds[-1]


def _bounds_us(problems: SiteProblems, levels: F64, start_us: int) -> tuple[int, ...]:
    """When each of the levels begins, and the last ends."""
    if levels.shape[0] != problems.homes or levels.shape[1] > problems.intervals or levels.shape[2] != LEVELS:
        raise InvalidInput(
            "shape of levels", levels.shape, f"must be ({problems.homes}, up to {problems.intervals}, {LEVELS})"
        )
    lengths = np.rint(problems.hours[: levels.shape[1]] * MICROS_PER_HOUR).astype(np.int64)
    return tuple((start_us + np.concatenate([[0], np.cumsum(lengths)])).tolist())
