"""What a home that is not convex does in the interval at hand, from any stored energy and at any coordination price.

As `respond`, with the value functions of `envelope`. An offer curve never rises with the price here either, but jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.piecewise import near
from powerflock.domain.arrays import F64, I64
from powerflock.optimise.envelope import EnvelopeValues
from powerflock.optimise.respond import Moment
from powerflock.optimise.segments import power_of
from powerflock.optimise.stages import COST_POINTS, JUMP, SLACK_KWH, best_change, interval_cost, least_bill


@dataclass(frozen=True, slots=True)
class Answers:
    """`battery_kw` and `curtailed_kw`, each (H, P), at P coordination prices; NaN where nothing is possible."""

    battery_kw: F64
    curtailed_kw: F64


@kernel
def _answer_block(
    hours: float, net: F64, buy: F64, sell: F64, solar: F64, stored: F64, cells: F64, offsets: I64, points: F64,
    prices: F64, small: F64, after: F64, power: F64, curtailed: F64,
) -> None:  # fmt: skip
    for home in range(net.size):
        cell, first, count = cells[home], offsets[home, 0], offsets[home, 1] - offsets[home, 0]
        for row in range(3):
            for index in range(count):
                after[row, index] = points[row, first + index]
        for at in range(prices.shape[1]):
            price = prices[home if prices.shape[0] > 1 else 0, at]
            bought, sold = buy[home] + price, sell[home] + price
            found = interval_cost(net[home], bought, sold, solar[home], hours, cell, small[1:], small[0])
            change, _, best = best_change(small[0], found, after, count, stored[home])
            if best == np.inf:
                power[home, at], curtailed[home, at] = np.nan, np.nan
                continue
            power[home, at] = power_of(change, hours, cell[2], cell[3])
            curtailed[home, at], _ = least_bill(
                net[home] + power[home, at], bought, sold, solar[home], cell[7], cell[8]
            )


def envelope_answers(moment: Moment, values: EnvelopeValues, step: int, prices: F64) -> Answers:
    """What is optimal now at coordination `prices`, (P,) for all or (H, P) home by home, from any stored energy.

    As `respond.answers`: `step` says which of `values` is the one at the end of the moment. Net power, which is load +
    battery + curtailed, never rises with the price.
    """
    homes = moment.net_load_kw.size
    rows = np.arange(homes) * (values.keep + 1) + step
    offsets = np.stack([values.offsets[rows], values.offsets[rows + 1]], axis=1)
    table = np.ascontiguousarray(np.atleast_2d(prices), dtype=np.float64)
    power, curtailed = np.empty((homes, table.shape[1])), np.empty((homes, table.shape[1]))
    solar = np.zeros(homes) if moment.curtailable_kw is None else moment.curtailable_kw
    net, buy, sell, own, stored = (
        np.ascontiguousarray(column)
        for column in (moment.net_load_kw, moment.import_per_kwh, moment.export_per_kwh, solar, moment.stored_kwh)
    )
    _answer_block(
        moment.hours, net, buy, sell, own, stored, moment.batteries.stacked(), offsets, values.points, table,
        np.empty((5, 3, COST_POINTS)), np.empty((3, int(np.diff(offsets).max(initial=1)))), power, curtailed,
    )  # fmt: skip
    return Answers(power, curtailed)


def envelope_value(values: EnvelopeValues, step: int, stored_kwh: F64) -> F64:
    """(H,) cost-to-go in $ at the start of interval `step` with `stored_kwh` (H,); +inf where no plan is possible.

    Stored energy that misses a possible one by rounding counts as that one.
    """
    rows = np.arange(stored_kwh.size) * (values.keep + 1) + step
    lists = [np.ascontiguousarray(values.points[:, values.offsets[row] : values.offsets[row + 1]]) for row in rows]
    pairs = zip(lists, stored_kwh.tolist(), strict=True)
    return np.array([near(points, points.shape[1], stored, SLACK_KWH, JUMP)[0] for points, stored in pairs])
