"""What a site does in the interval at hand: its offer curve, its answer to a price, what an answer costs its owner.

Everything follows from the value function at the interval's end, V: the owner minimises
c(p) + λ·(n + p)·h + V(stored + change(p)) over one power p, so the answer is where the marginal cost crosses −λ.
The curve costs one walk down the power range. Net powers are passive: positive is import.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.slopes import value_at
from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.problem import Batteries, SiteProblems
from powerflock.optimise.segments import bill_edges, curtailed, power_of
from powerflock.optimise.site import ValueFunctions

Bill: TypeAlias = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """The rest of one interval, `hours`, for S homes: (S,) net load kW, import and export price, stored kWh.

    `batteries` has the limits that hold in the interval. `curtailable_kw` (S,) of solar may be switched off.
    """

    hours: float
    net_load_kw: F64
    import_per_kwh: F64
    export_per_kwh: F64
    stored_kwh: F64
    batteries: Batteries
    curtailable_kw: F64 | None = None

    @staticmethod
    def of(problems: SiteProblems, step: int = 0, stored_kwh: F64 | None = None) -> Moment:
        """Interval `step` of `problems` as a whole, with `stored_kwh` (S,) at its start, or else the problems' own."""
        cells, limits, solar = problems.batteries, problems.limits, problems.curtailable_kw
        if limits is not None:
            now = {field.name: np.ascontiguousarray(getattr(limits, field.name)[:, step]) for field in fields(limits)}
            cells = replace(cells, **now)
        return Moment(
            float(problems.hours[step]), problems.net_load_kw[:, step],
            problems.import_per_kwh[problems.tariff, step], problems.export_per_kwh[problems.tariff, step],
            problems.stored_kwh if stored_kwh is None else stored_kwh, cells,
            None if solar is None else np.ascontiguousarray(solar[:, step]),
        )  # fmt: skip


@kernel
def _walk(
    hours: float, bill: Bill, high: float, low: float, stored: float, cell: F64,
    left: float, slope: F64, length: F64, count: int, prices: F64, answer: F64,
) -> None:  # fmt: skip
    """Fill `answer` with the optimal battery power at each of the ascending `prices`, between `low` and `high`.

    `bill` is the bill over battery power: two edges, upper first, and the three slopes from the top down.
    """
    upper, lower, top, middle, bottom = bill
    right = left
    for index in range(count):
        right += length[index]
    highest = min(high, power_of(right - stored, hours, cell[2], cell[3]))
    power = max(highest, -cell[1])
    low = min(max(low, power_of(left - stored, hours, cell[2], cell[3])), power)
    segment, begin = count - 1, right - (length[count - 1] if count > 0 else 0.0)
    edge = power_of(begin - stored, hours, cell[2], cell[3])
    at = 0
    while at < prices.size:
        if power <= low:
            answer[at] = power
            at += 1
            continue
        while segment > 0 and edge >= power:
            segment -= 1
            begin -= length[segment]
            edge = power_of(begin - stored, hours, cell[2], cell[3])
        stop = low
        if power > 0.0:
            stop = max(stop, 0.0)
        if power > upper:
            stop = max(stop, upper)
        elif power > lower:
            stop = max(stop, lower)
        if segment > 0:
            stop = max(stop, edge)
        half = 0.5 * (power + stop)
        price = top if half > upper else (middle if half > lower else bottom)
        worth = slope[segment] if count > 0 else 0.0
        marginal = (price + cell[4] + worth * cell[2]) if half > 0.0 else (price - cell[4] + worth / cell[3])
        while at < prices.size and marginal + prices[at] <= 0.0:
            answer[at] = power
            at += 1
        power = stop


@kernel
def _offer_block(
    hours: float, net: F64, buy: F64, sell: F64, stored: F64, cells: F64,
    left: F64, count: I32, slope: F64, length: F64, prices: F64, answer: F64,
) -> None:  # fmt: skip
    for home in range(net.size):
        own = prices[home] if prices.shape[0] > 1 else prices[0]
        cell, load = cells[home], net[home]
        bill = (-load, -np.inf, buy[home], sell[home], sell[home])
        _walk(
            hours, bill, min(cell[0], cell[7] - load), max(-cell[1], -cell[8] - load), stored[home], cell,
            left[home], slope[home], length[home], count[home], own, answer[home],
        )  # fmt: skip


@kernel
def _curtailing_block(
    hours: float, net: F64, buy: F64, sell: F64, solar: F64, stored: F64, cells: F64,
    left: F64, count: I32, slope: F64, length: F64, prices: F64, answer: F64, dark: F64,
) -> None:  # fmt: skip
    """As `_offer_block`, price by price, for each has a bill of its own shape; `dark` receives what is switched off."""
    nothing = np.zeros(1)
    for home in range(net.size):
        own = prices[home] if prices.shape[0] > 1 else prices[0]
        cell, load, roof = cells[home], net[home], solar[home]
        for at in range(own.size):
            dear, cheap = buy[home] + own[at], sell[home] + own[at]
            bill = bill_edges(load, dear, cheap, roof, cell[7], cell[8])
            _walk(
                hours, bill, min(cell[0], cell[7] - load), max(-cell[1], -cell[8] - load - roof), stored[home], cell,
                left[home], slope[home], length[home], count[home], nothing, answer[home, at : at + 1],
            )  # fmt: skip
            dark[home, at] = curtailed(load + answer[home, at], dear, cheap, roof, cell[7], cell[8])


@kernel
def _value_block(left: F64, base: F64, count: I32, slope: F64, length: F64, stored: F64, value: F64) -> None:
    for home in range(stored.size):
        value[home] = value_at(left[home], base[home], slope[home], length[home], count[home], stored[home])


def answers(moment: Moment, values: ValueFunctions, step: int, prices: F64) -> F64:
    """Optimal battery power, (S, P) kW, at ascending coordination `prices`: (P,) for all, or (S, P) home by home.

    `values` holds the value functions and `step` says which of them is the one at the end of the moment. NaN for homes
    without a plan, or whose load or energy is unknown. `InvalidInput` where prices do not ascend or homes do not match.
    """
    return _answers(moment, values, step, prices)[0]


def offers(moment: Moment, values: ValueFunctions, step: int, prices: F64) -> F64:
    """(S, P) net power kW of each site at each coordination price: the sites' offer curves, non-increasing."""
    power, dark = _answers(moment, values, step, prices)
    net = power + moment.net_load_kw[:, None]
    return net if dark is None else net + dark


def _answers(moment: Moment, values: ValueFunctions, step: int, prices: F64) -> tuple[F64, F64 | None]:
    """(S, P) battery power and solar switched off, None where none may be; NaN where a home or its state is unknown."""
    homes = moment.net_load_kw.size
    table = np.ascontiguousarray(np.atleast_2d(prices), dtype=np.float64)
    _check_moment(moment, values, step, table)
    answer = np.empty((homes, table.shape[1]))
    cells, left, count = moment.batteries.stacked(), values.left[:, step], values.count[:, step]
    slope, length = values.slope[:, step], values.length[:, step]
    if moment.curtailable_kw is None:
        _offer_block(
            moment.hours, moment.net_load_kw, moment.import_per_kwh, moment.export_per_kwh, moment.stored_kwh, cells,
            left, count, slope, length, table, answer,
        )  # fmt: skip
        answer[np.isnan(left + moment.stored_kwh)] = np.nan
        return answer, None
    dark = np.empty_like(answer)
    _curtailing_block(
        moment.hours, moment.net_load_kw, moment.import_per_kwh, moment.export_per_kwh, moment.curtailable_kw,
        moment.stored_kwh, cells, left, count, slope, length, table, answer, dark,
    )  # fmt: skip
    unknown = np.isnan(left + moment.stored_kwh)
    answer[unknown] = dark[unknown] = np.nan
    return answer, dark


def _check_moment(moment: Moment, values: ValueFunctions, step: int, table: F64) -> None:
    """Refuse what the kernels, which check no bounds, would read wrongly."""
    homes, steps = values.left.shape
    if not 0 <= step < steps:
        raise InvalidInput(
            "step", step, f"must be one of the {steps} value functions kept", "Solve with a larger `keep`."
        )
    sizes = {np.shape(moment.net_load_kw), np.shape(moment.stored_kwh), moment.batteries.capacity_kwh.shape}
    if sizes != {(homes,)}:
        raise InvalidInput("homes of the moment", sorted(sizes), f"must be the {homes} of the value functions")
    if table.ndim != 2 or table.shape[0] not in {1, homes}:
        raise InvalidInput("shape of prices", table.shape, f"must be one row for all, or {homes} rows")
    if not (table[:, 1:] >= table[:, :-1]).all() or np.isnan(table).any():
        raise InvalidInput("prices", table[0, :5].tolist(), "must ascend and none may be NaN")


def value(values: ValueFunctions, step: int, stored_kwh: F64) -> F64:
    """(S,) cost-to-go in $ at the start of interval `step` with `stored_kwh` in the batteries."""
    out = np.empty(stored_kwh.size)
    _value_block(
        values.left[:, step], values.base[:, step], values.count[:, step],
        values.slope[:, step], values.length[:, step], np.ascontiguousarray(stored_kwh), out,
    )  # fmt: skip
    return out


def energy_cost(moment: Moment, net_kwh: F64) -> F64:
    """(S,) the owner's bill in $ for the moment's net energy: imports bought, exports sold."""
    return np.where(net_kwh > 0, moment.import_per_kwh, moment.export_per_kwh) * net_kwh


def best_cost(moment: Moment, values: ValueFunctions, step: int) -> tuple[F64, F64]:
    """What the owner alone would do: battery power (S,) kW, and what it costs, c(p) + V(end) (S,) $."""
    answer, dark = _answers(moment, values, step, np.zeros(1))
    power = answer[:, 0]
    net_kwh = (moment.net_load_kw + power + (0.0 if dark is None else dark[:, 0])) * moment.hours
    wear = moment.batteries.wear_per_kwh * np.abs(power) * moment.hours
    end = moment.stored_kwh + stored_change(moment.batteries, power, moment.hours)
    return power, energy_cost(moment, net_kwh) + wear + value(values, step, end)


def stored_change(batteries: Batteries, battery_kw: F64, hours: float) -> F64:
    """(S,) change of the stored energy in kWh when the batteries run at `battery_kw` for `hours`."""
    factor = np.where(battery_kw > 0, batteries.charge_efficiency_ratio, 1.0 / batteries.discharge_efficiency_ratio)
    return np.asarray(battery_kw * hours * factor)
