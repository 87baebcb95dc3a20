"""Homes coordinated by prices: an award for all, limits of groups in a tree, reserves; with a proven gap.

Curves up, prices down. Every home answers trial prices with what it would do and how steeply that changes; answers and
slopes are summed up the tree; a small system at each node gives the next prices. This is a primal–dual interior-point
method on the whole linear programme, so it takes some 30 rounds whatever the number of homes, where methods that see
only answers take hundreds. The lower bound holds for *any* prices (Lagrangian duality), the cost is that of plans that
homes can follow, and what is missed of the limits is paid at a penalty within it: the gap between them is proven.
Must not know telemetry, markets' rules or any I/O.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible
from powerflock.optimise.asks import Asked, Groups, Reserve, ask, channels_of, check_asks
from powerflock.optimise.coupled import solve_coupled
from powerflock.optimise.faults import check_problems
from powerflock.optimise.interior_point.blocks import Block
from powerflock.optimise.interior_point.buckets import Bucket, buckets
from powerflock.optimise.interior_point.mehrotra import SCALE, SOLVED
from powerflock.optimise.interior_point.search import Search
from powerflock.optimise.interior_point.settle import FleetPlan, settle
from powerflock.optimise.problem import SiteProblems
from powerflock.optimise.site import Mapper

_ITERATIONS = 80
_WARM = 0.001
"""The scale to begin with where prices are known nearly."""
_EXCESS = 1e-6
"""kW or kWh that a plan may miss a limit by: rounding."""


@dataclass(frozen=True, slots=True)
class Coordination:
    """Plans and prices. `cost` $ with penalties, at most `gap` $ above the least possible.

    `price_per_kwh` (G, T) is what homes attached to each group see: the coordination price to add to both of theirs.
    `raise_price_per_kw`, `lower_price_per_kw` (T,) $ per kW held for an hour. Plans as in `CoupledPlans`, with
    `raise_kw` and `lower_kw` (S, T) held by each home. `missed_kw` (G, T) is what groups' limits are broken by,
    `off_target_kw`, `raise_short_kw`, `lower_short_kw` (T,) the rest that was paid for at the penalty.
    """

    cost: float
    gap: float
    price_per_kwh: F64
    raise_price_per_kw: F64
    lower_price_per_kw: F64
    battery_kw: F64
    device_kw: F64
    curtailed_kw: F64
    raise_kw: F64
    lower_kw: F64
    missed_kw: F64
    off_target_kw: F64
    raise_short_kw: F64
    lower_short_kw: F64
    iterations: int


def coordinate(
    problems: SiteProblems, groups: Groups, *, target_kw: F64 | None = None, reserve: Reserve | None = None,
    penalty_per_kwh: float = 10.0, tolerance: float = 1e-4, start: Coordination | None = None, mapper: Mapper = map,
    block: int = 64,
) -> Coordination:  # fmt: skip
    """The cheapest plans of S homes together, within the groups' limits, on `target_kw` (T,) and with the reserve.

    Each kW by which a limit, the target or a reserve is missed costs `penalty_per_kwh` for each hour. `tolerance`
    is the gap at which to stop, as a share of the cost. `start` is a coordination of the same groups, some minutes ago:
    from its prices the new ones are found in half the rounds. `mapper` may be an executor's `map`: blocks of `block`
    homes are independent. Raises `InvalidInput`, and `Infeasible` naming a home that has no plan of its own.
    """
    check_problems(problems)
    check_asks(problems, groups, target_kw, reserve)
    channels, duration = channels_of(reserve), 0.0 if reserve is None else reserve.hours
    asked = ask(problems, groups, target_kw, reserve)
    price = np.zeros(asked.low_kw.shape) if start is None else _own_prices(problems, groups, asked, start)
    scale = SCALE if start is None else _WARM
    seen = asked.network.down(asked.spread(price), channels)

    def begin(piece: tuple[int, Bucket]) -> Block:
        return Block.of(piece[1], piece[0], duration, seen[piece[0] + asked.first], scale)

    order = np.argsort(groups.group, kind="stable")
    pieces = [each for bucket in buckets(problems, order) for each in _pieces(bucket, groups.group, block)]
    parts = list(mapper(begin, pieces))
    search = Search(parts, asked, price, penalty_per_kwh * problems.hours, scale, mapper)
    search.run(0.5 * tolerance, _ITERATIONS)
    plan = settle(problems, parts, mapper)
    if plan.excess.max(initial=0.0) > _EXCESS:
        _refuse(problems, plan, mapper)
    constant = sum(float(part.bucket.constant.sum()) for part in parts)
    return _account(problems, groups, target_kw, reserve, penalty_per_kwh, search, plan, search.bound + constant)


def _own_prices(problems: SiteProblems, groups: Groups, asked: Asked, start: Coordination) -> F64:
    """(R, T) the rows' own prices, $ per kW, where homes see those of `start`."""
    seen, above = start.price_per_kwh, groups.parent[:, None]
    own = np.where(above >= 0, seen - seen[np.maximum(groups.parent, 0)], seen)
    nodes, prices = asked.network, np.zeros((asked.network.parent.size, problems.intervals))
    prices[asked.first :] = own
    for node in range(asked.first):
        if nodes.channel[node] == 0:
            prices[node], prices[asked.first :] = own[0], np.where(above >= 0, own, own - own[0])
        else:
            prices[node] = -(start.raise_price_per_kw if nodes.channel[node] == 1 else start.lower_price_per_kw)
    return np.asarray(prices[asked.at] * problems.hours)


def _pieces(bucket: Bucket, group: I32, block: int) -> Iterator[tuple[int, Bucket]]:
    """The homes of a bucket, which are sorted by group, in blocks of one group each."""
    owner = group[bucket.homes]
    edges = np.flatnonzero(np.diff(owner, prepend=-1, append=-1)).tolist()
    for start, end in itertools.pairwise(edges):
        for first in range(start, end, block):
            yield int(owner[first]), bucket.rows(slice(first, min(first + block, end)))


def _account(
    problems: SiteProblems, groups: Groups, target_kw: F64 | None, reserve: Reserve | None, penalty: float,
    search: Search, plan: FleetPlan, bound: float,
) -> Coordination:  # fmt: skip
    """What the plans cost, with what they miss."""
    hours, steps = problems.hours, problems.intervals
    net = np.zeros((groups.parent.size, steps))
    np.add.at(net, groups.group, plan.net_kw)
    total = net.sum(axis=0)
    for node in range(groups.parent.size - 1, -1, -1):
        if groups.parent[node] >= 0:
            net[groups.parent[node]] += net[node]
    missed = np.maximum(np.maximum(net - groups.import_limit_kw, -groups.export_limit_kw - net), 0.0)
    off = np.zeros(steps) if target_kw is None else total - target_kw
    held, short = plan.held_kw, np.zeros((2, steps))
    if reserve is not None:
        wanted = np.stack([reserve.raise_kw, reserve.lower_kw])
        spare = plan.most_kw - held
        lacking = np.clip(wanted - held.sum(axis=1), 0.0, spare.sum(axis=1))
        held = held + spare * (lacking / np.maximum(spare.sum(axis=1), 1e-12))[:, None]
        short = np.maximum(wanted - held.sum(axis=1), 0.0)
    paid = penalty * float(((missed.sum(axis=0) + np.abs(off) + short.sum(axis=0)) * hours).sum())
    cost = float(plan.cost.sum()) + paid
    prices = search.seen() / hours
    chain = prices.shape[0] - groups.parent.size
    reserves = np.zeros((2, steps))
    reserves[: prices.shape[1] - 1] = -prices[chain, 1:]
    return Coordination(
        cost, max(0.0, cost - bound), np.ascontiguousarray(prices[chain:, 0]), reserves[0], reserves[1],
        plan.battery_kw, plan.device_kw, plan.curtailed_kw, held[0], held[1], missed, off, short[0], short[1],
        search.iterations,
    )  # fmt: skip


def _refuse(problems: SiteProblems, plan: FleetPlan, mapper: Mapper) -> None:
    """Name a home that has no plan of its own; where all have, the method got nowhere and says so."""
    homes = np.flatnonzero(plan.excess > _EXCESS)
    alone = solve_coupled(problems, homes, mapper=mapper)
    none = homes[alone.status != SOLVED]
    home = int(none[0]) if none.size else int(homes[0])
    bound = (
        "no power keeps its connection and stored energies within their limits"
        if none.size
        else ("the homes' plans were not found within the rounds")
    )
    remedy = "Widen its limits, or leave the home out." if none.size else "Ask for a wider tolerance."
    raise Infeasible(f"home {home}: its plan's excess", float(plan.excess[home]), bound, remedy)
