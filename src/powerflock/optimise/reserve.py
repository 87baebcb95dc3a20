"""Energy and reserve co-optimised over groups' offer curves: who moves, who holds raise and lower, at what price.

A group's offer says its net power at each coordination price, so read the other way it is its marginal cost of moving
from where it stands at price 0: above 0 $ for less import, below for more. Cost is piecewise linear in the power, with
each cell of the grid in `parts` and the mean price of each part; at grid points it is exact, between them it is at most
width·Δprice/(8·parts²) $/h too high for each group. Raise is import that may stop or export that may begin, up to the
curve's end, lower the reverse; both need energy behind them, and what was moved in earlier intervals counts.
A small linear programme. Must not know homes, bids' bands or the market's calendar. Powers are passive: import > 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from powerflock.curve.grid import PRICE_GRID
from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible, InvalidInput, NotConvex
from powerflock.optimise.linear import INFINITE, Optimum, Programme, Term
from powerflock.optimise.problem import Values, column

_ZERO = int(np.flatnonzero(PRICE_GRID == 0.0)[0])
_FALLING_KW = 1e-9


@dataclass(frozen=True, slots=True)
class GroupOffers:
    """G groups over T intervals; each (G, T) float64 but `offer_kw` (G, T, 41) on `PRICE_GRID`, falling with the price.

    `releasable_kwh` and `absorbable_kwh` are what a group at price 0 throughout could still give or take at the
    connection (after losses) at the *end* of each interval. `round_trip_ratio`: the part of energy taken that can be
    given again. `coverage_ratio`: the part of a group's reserve that counts as firm. `raise_limit_kw` and
    `lower_limit_kw`: what it may hold. `ramp_kw`: the most that power may change from the interval before, from
    `before_kw` (G,) in the first.
    """

    offer_kw: F64
    releasable_kwh: F64
    absorbable_kwh: F64
    round_trip_ratio: F64
    coverage_ratio: F64
    raise_limit_kw: F64
    lower_limit_kw: F64
    ramp_kw: F64
    before_kw: F64

    @staticmethod
    def of(
        offer_kw: npt.NDArray[np.float64], *, releasable_kwh: Values = INFINITE, absorbable_kwh: Values = INFINITE,
        round_trip_ratio: Values = 0.9, coverage_ratio: Values = 1.0, raise_limit_kw: Values = INFINITE,
        lower_limit_kw: Values = INFINITE, ramp_kw: Values = INFINITE, before_kw: Values = 0.0,
    ) -> GroupOffers:  # fmt: skip
        """GroupOffers of (G, T, 41) offers; the other columns are one number for all, (T,) or (G, T)."""
        if offer_kw.ndim != 3 or offer_kw.shape[2] != PRICE_GRID.size:
            bound = f"must be (groups, intervals, {PRICE_GRID.size})"
            raise InvalidInput("shape of offer_kw", offer_kw.shape, bound)
        shape = offer_kw.shape[:2]
        return GroupOffers(
            column("offer_kw", offer_kw, offer_kw.shape), column("releasable_kwh", releasable_kwh, shape),
            column("absorbable_kwh", absorbable_kwh, shape), column("round_trip_ratio", round_trip_ratio, shape),
            column("coverage_ratio", coverage_ratio, shape), column("raise_limit_kw", raise_limit_kw, shape),
            column("lower_limit_kw", lower_limit_kw, shape), column("ramp_kw", ramp_kw, shape),
            column("before_kw", before_kw, shape[:1]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReserveMarket:
    """What T intervals pay and ask, each (T,) float64.

    Energy: the total power costs `energy_per_kwh` for each kWh imported (and earns it exported); within `least_kw` and
    `most_kw`, such as an award, or else `imbalance_per_kwh` is paid for what is over or under. Reserve: each firm kW
    held for an hour earns `raise_per_kw_hour`, up to `raise_cap_kw`; what is missing of `raise_required_kw` costs
    `shortage_per_kw_hour`; all of it can be called for `sustain_hours`. Lower in the same way.
    """

    hours: F64
    energy_per_kwh: F64
    least_kw: F64
    most_kw: F64
    imbalance_per_kwh: F64
    raise_per_kw_hour: F64
    lower_per_kw_hour: F64
    raise_required_kw: F64
    lower_required_kw: F64
    raise_cap_kw: F64
    lower_cap_kw: F64
    shortage_per_kw_hour: F64
    sustain_hours: F64

    @staticmethod
    def of(
        intervals: int, *, hours: Values = 0.5, energy_per_kwh: Values = 0.0, least_kw: Values = -INFINITE,
        most_kw: Values = INFINITE, imbalance_per_kwh: Values = 1000.0, raise_per_kw_hour: Values = 0.0,
        lower_per_kw_hour: Values = 0.0, raise_required_kw: Values = 0.0, lower_required_kw: Values = 0.0,
        raise_cap_kw: Values = INFINITE, lower_cap_kw: Values = INFINITE, shortage_per_kw_hour: Values = 1000.0,
        sustain_hours: Values = 1.0,
    ) -> ReserveMarket:  # fmt: skip
        """A market of `intervals`; each column one number for all or (T,)."""
        given = locals()
        return ReserveMarket(*(column(part.name, given[part.name], (intervals,)) for part in fields(ReserveMarket)))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """`power_kw`, `raise_kw`, `lower_kw` (G, T), the last two before coverage; `cost` in $ of all, revenues < 0.

    `price_per_kwh` (G, T) is each group's own clearing price: its offer, read there, is its power.
    `energy_price_per_kwh` (T,): what one kWh more of load beside them would cost; but for the width of a part it is
    the groups' price where neither energy, ramps nor reserve bind them. `raise_price`, `lower_price` (T,) in $/kW·h:
    what one firm kW more is worth. What could not be met, (T,) kW: `imbalance_kw` (over > 0), `raise_missing_kw`,
    `lower_missing_kw`.
    """

    cost: float
    power_kw: F64
    raise_kw: F64
    lower_kw: F64
    price_per_kwh: F64
    energy_price_per_kwh: F64
    raise_price: F64
    lower_price: F64
    imbalance_kw: F64
    raise_missing_kw: F64
    lower_missing_kw: F64


def co_optimise(groups: GroupOffers, market: ReserveMarket, *, parts: int = 4) -> Dispatch:
    """The dispatch of least cost: the groups' own costs, energy, and imbalance and shortage, less reserve's revenue.

    Raises `InvalidInput` for bad columns, `NotConvex` where an offer rises with the price, `Infeasible` where ramps
    or energy leave nothing.
    """
    _check(groups, market, parts)
    model = _Model(groups, market, parts)
    try:
        return model.dispatch(model.programme.solve())
    except Infeasible as error:
        raise Infeasible(
            "the groups' ramps", float(groups.ramp_kw.min()), "lead from `before_kw` to no power within the curves",
            "Allow more ramp, or correct `before_kw`.",
        ) from error  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reserve:
    """Raise or lower: variables `held` (G, T), and by interval `sold` and `missing`; `row` has the price."""

    held: I32
    sold: I32
    missing: I32
    row: I32
    required: F64


class _Model:
    """The programme, with its variables and those of its rows that have a price; tables are (G, T)."""

    def __init__(self, groups: GroupOffers, market: ReserveMarket, parts: int) -> None:
        self.groups, self.market, self.programme = groups, market, Programme()
        self.shape = groups.offer_kw.shape[:2]
        self._powers(parts)
        self._ramps()
        self.energy, self.imbalance = self._energy_row()
        self.raised = self._reserve(
            market.raise_per_kw_hour, market.raise_required_kw, market.raise_cap_kw, groups.raise_limit_kw
        )
        self.lowered = self._reserve(
            market.lower_per_kw_hour, market.lower_required_kw, market.lower_cap_kw, groups.lower_limit_kw
        )
        self._sustain()

    def _add(self, lower: F64 | float, upper: F64 | float, cost: F64 | float = 0.0) -> I32:
        """A table of variables."""
        flat = (np.broadcast_to(value, self.shape).ravel() for value in (lower, upper, cost))
        return self.programme.add(int(np.prod(self.shape)), *flat).reshape(self.shape)

    def _require(self, lower: F64 | float, upper: F64 | float, *terms: Term) -> I32:
        """A table of rows; terms are tables too."""
        low, high = (np.broadcast_to(value, self.shape).ravel() for value in (lower, upper))
        flat = [(index.ravel(), np.broadcast_to(value, self.shape).ravel()) for index, value in terms]
        return self.programme.require(low, high, *flat).reshape(self.shape)

    def _powers(self, parts: int) -> None:
        """Power = power at price 0 + more − less, each the sum of parts of the curve at their own cost."""
        offer, hours = self.groups.offer_kw, self.market.hours
        self.own_kw, low, high = offer[..., _ZERO], offer[..., -1], offer[..., 0]
        width = np.repeat((offer[..., :-1] - offer[..., 1:]) / parts, parts, axis=-1)
        within = (np.arange(parts) + 0.5) / parts
        price = (PRICE_GRID[:-1, None] + np.diff(PRICE_GRID)[:, None] * within).ravel()
        cost = np.abs(price) * hours[:, None]
        cells = self.programme.add(width.size, 0.0, width.ravel(), np.broadcast_to(cost, width.shape).ravel())
        cells = cells.reshape(width.shape)
        self.power = self._add(low, high)
        self.more, self.less = self._add(0.0, high - self.own_kw), self._add(0.0, self.own_kw - low)
        for total, part in ((self.more, cells[..., : _ZERO * parts]), (self.less, cells[..., _ZERO * parts :])):
            sums = part.reshape(-1, part.shape[-1])
            self.programme.require(0.0, 0.0, (total.ravel(), 1.0), (sums, -1.0))
        self.power_row = self._require(
            self.own_kw, self.own_kw, (self.power, 1.0), (self.more, -1.0), (self.less, 1.0)
        )  # fmt: skip

    def _ramps(self) -> None:
        """Power may change by `ramp_kw` from one interval to the next."""
        ramp, start = self.groups.ramp_kw, self.groups.before_kw
        first = np.flatnonzero(np.isfinite(ramp[:, 0]))
        self.programme.require(
            (start - ramp[:, 0])[first], (start + ramp[:, 0])[first], (self.power[first, 0], 1.0)
        )  # fmt: skip
        group, step = np.nonzero(np.isfinite(ramp[:, 1:]))
        now, before, most = self.power[group, step + 1], self.power[group, step], ramp[group, step + 1]
        self.programme.require(-most, most, (now, 1.0), (before, -1.0))

    def _energy_row(self) -> tuple[I32, tuple[I32, I32]]:
        """The total, what it costs, and what is over and under; returns the row and these two."""
        market, steps = self.market, self.shape[1]
        total = self.programme.add(steps, -INFINITE, INFINITE, market.energy_per_kwh * market.hours)
        row = self.programme.require(0.0, 0.0, (total, 1.0), (self.power.T, -1.0))
        over, under = (self.programme.add(steps, 0.0, INFINITE, market.imbalance_per_kwh * market.hours) for _ in "+-")
        self.programme.require(market.least_kw, market.most_kw, (total, 1.0), (over, -1.0), (under, 1.0))
        return row, (over, under)

    def _reserve(self, paid: F64, required: F64, cap: F64, limit: F64) -> _Reserve:
        """What groups hold within `limit`: sold up to the cap, more as required, or else missing."""
        held, steps, hours = self._add(0.0, limit), self.shape[1], self.market.hours
        sold = self.programme.add(steps, 0.0, np.where(paid > 0, cap, 0.0), -paid * hours)
        spare = self.programme.add(steps, 0.0, INFINITE)
        missing = self.programme.add(steps, 0.0, INFINITE, self.market.shortage_per_kw_hour * hours)
        row = self.programme.require(
            0.0, 0.0, (held.T, self.groups.coverage_ratio.T), (sold, -1.0), (spare, -1.0)
        )  # fmt: skip
        self.programme.require(required, INFINITE, (sold, 1.0), (spare, 1.0), (missing, 1.0))
        return _Reserve(held, sold, missing, row, required)

    def _sustain(self) -> None:
        """Reserve stays within the curve's ends and within the energy left when earlier moves are counted.

        Both energies are counted so that moving more and less at once, which no group can, would never gain any.
        """
        groups, hours, held = self.groups, self.market.hours, self.market.sustain_hours
        low, high = groups.offer_kw[..., -1], groups.offer_kw[..., 0]
        self._require(low, INFINITE, (self.power, 1.0), (self.raised.held, -1.0))
        self._require(-INFINITE, high, (self.power, 1.0), (self.lowered.held, 1.0))
        for kwh, reserve, gain, back in (
            (groups.releasable_kwh, self.raised.held, self.more, self.less),
            (groups.absorbable_kwh, self.lowered.held, self.less, self.more),
        ):
            if not np.isfinite(kwh).any():
                continue
            returned = groups.round_trip_ratio if gain is self.more else 1.0
            moved = self._add(-INFINITE, INFINITE)
            before = np.concatenate([self.programme.add(self.shape[0], 0.0, 0.0)[:, None], moved[:, :-1]], axis=1)
            self._require(0.0, 0.0, (moved, 1.0), (before, -1.0), (gain, -hours * returned), (back, hours))
            self._require(-kwh, INFINITE, (moved, 1.0), (reserve, -held))

    def dispatch(self, found: Optimum) -> Dispatch:
        """Read the optimum: prices are the rows' multipliers, within what a group's curve says of its power."""
        x, dual, hours = found.x, found.dual, self.market.hours
        over, under = self.imbalance
        power = x[self.power]
        low, high = _prices_of(self.groups.offer_kw, power)
        return Dispatch(
            cost=found.value,
            power_kw=power,
            raise_kw=self._needed(x, self.raised),
            lower_kw=self._needed(x, self.lowered),
            price_per_kwh=np.clip(dual[self.power_row] / hours, low, high),
            energy_price_per_kwh=dual[self.energy] / hours,
            raise_price=dual[self.raised.row] / hours,
            lower_price=dual[self.lowered.row] / hours,
            imbalance_kw=x[over] - x[under],
            raise_missing_kw=x[self.raised.missing],
            lower_missing_kw=x[self.lowered.missing],
        )

    def _needed(self, x: F64, reserve: _Reserve) -> F64:
        """What is held (G, T), without that which is neither sold nor required: it may be free, but serves nobody."""
        held = x[reserve.held]
        firm = (held * self.groups.coverage_ratio).sum(axis=0)
        needed = np.maximum(x[reserve.sold], reserve.required)
        return np.asarray(held * np.where(firm > needed, needed / np.where(firm > 0, firm, 1.0), 1.0))


def _prices_of(offer_kw: F64, power_kw: F64) -> tuple[F64, F64]:
    """The lowest and the highest price at which curves (G, T, 41) give powers (G, T); infinite beyond their ends."""
    last = PRICE_GRID.size - 1
    bounds = []
    for before in (
        (offer_kw > power_kw[..., None] + _FALLING_KW).sum(axis=-1) - 1,
        (offer_kw >= power_kw[..., None] - _FALLING_KW).sum(axis=-1) - 1,
    ):
        cell = np.clip(before, 0, last - 1)
        above = np.take_along_axis(offer_kw, cell[..., None], -1)[..., 0]
        width = above - np.take_along_axis(offer_kw, cell[..., None] + 1, -1)[..., 0]
        share = np.clip((above - power_kw) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        price = PRICE_GRID[cell] + share * (PRICE_GRID[cell + 1] - PRICE_GRID[cell])
        bounds.append(np.where(before < 0, -INFINITE, np.where(before == last, INFINITE, price)))
    return bounds[0], bounds[1]


_BOUNDS = {
    "offer_kw": (-INFINITE, INFINITE), "before_kw": (-INFINITE, INFINITE), "round_trip_ratio": (0.0, 1.0),
    "coverage_ratio": (0.0, 1.0), "energy_per_kwh": (-INFINITE, INFINITE), "least_kw": (-INFINITE, INFINITE),
    "most_kw": (-INFINITE, INFINITE), "hours": (1e-6, INFINITE),
}  # fmt: skip
_MAY_BE_INFINITE = {
    "releasable_kwh", "absorbable_kwh", "raise_limit_kw", "lower_limit_kw", "ramp_kw", "least_kw", "most_kw",
    "raise_cap_kw", "lower_cap_kw",
}  # fmt: skip


def _check(groups: GroupOffers, market: ReserveMarket, parts: int) -> None:
    """Raise for the first column that makes no sense, naming group and interval."""
    steps = groups.offer_kw.shape[1]
    if parts < 1:
        raise InvalidInput("parts", parts, "must be 1 or more")
    if market.hours.size != steps:
        raise InvalidInput("the market's intervals", market.hours.size, f"must be the groups': {steps}")
    for table in (groups, market):
        for name in (part.name for part in fields(table)):
            values, (low, high) = getattr(table, name), _BOUNDS.get(name, (0.0, INFINITE))
            sound = (values >= low) & (values <= high) & (np.isfinite(values) | (name in _MAY_BE_INFINITE))
            if not sound.all():
                at = tuple(np.argwhere(~sound)[0].tolist())
                where = f"interval {at[0]}" if table is market else ", ".join(
                    f"{axis} {k}" for axis, k in zip(("group", "interval", "price"), at, strict=False)
                )  # fmt: skip
                raise InvalidInput(f"{where}: {name}", float(values[at]), f"must lie between {low:g} and {high:g}")
    crossed = np.flatnonzero(market.least_kw > market.most_kw)
    if crossed.size:
        least, most = float(market.least_kw[crossed[0]]), float(market.most_kw[crossed[0]])
        raise InvalidInput(f"interval {crossed[0]}: least_kw", least, f"must not be above most_kw {most}")
    rises = np.argwhere((np.diff(groups.offer_kw, axis=-1) > _FALLING_KW).any(axis=-1))
    if rises.size:
        raise NotConvex(
            f"group {rises[0, 0]}, interval {rises[0, 1]}: offer_kw", "rising", "must not rise with the price"
        )
