"""Prices down: the price that delivers what is left of the award, and the commands that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.curve.grid import read_at
from powerflock.dispatch.allocate import Clearing, clear, portfolio_curve, setpoints
from powerflock.dispatch.arbitrate import Proposal, resolve
from powerflock.dispatch.command import issue
from powerflock.dispatch.track import remaining_kw
from powerflock.domain.arrays import F64, Records
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.columns import COMMAND, Issuer
from powerflock.groups.hierarchy import Hierarchy, Level
from powerflock.market.programme import coordination_per_kwh
from powerflock.market.signs import to_passive_kw
from powerflock.plant.model import Award, RingSettings
from powerflock.plant.offering import feeder_curves, feeder_limits, group_curves
from powerflock.plant.shard import SiteShard
from powerflock.plant.terms import batteries
from powerflock.twins.estimate import SiteColumns


def target_kw(
    shards: Sequence[SiteShard],
    columns: Sequence[SiteColumns],
    award: Award,
    opened_us: int,
    now_us: int,
    interval_us: int,
) -> float | None:
    """The portfolio's net power that brings the interval's energy to its award; None without an award."""
    award_mw = award.mw
    if award_mw is None:
        return None
    done = sum(shard.delivered_kwh(own) for shard, own in zip(shards, columns, strict=True))
    elapsed = (now_us - opened_us) / MICROS_PER_HOUR
    whole = ((award.interval + 1) * interval_us - opened_us) / MICROS_PER_HOUR
    return remaining_kw(to_passive_kw(award_mw), whole, elapsed, done)


def clearing(
    hierarchy: Hierarchy, curves: Sequence[F64], award: Award, target: float | None, settings: RingSettings
) -> Clearing | None:
    """The prices at which the curves meet `target`; without one, those that follow from the spot price itself."""
    feeders = feeder_curves(hierarchy, group_curves(hierarchy, curves))
    if feeders.shape[0] == 0:
        return None
    limits = feeder_limits(feeders.shape[0], settings)
    if target is None:
        price = coordination_per_kwh(settings.programme, np.array([award.spot_per_mwh]))[0]
        target = float(read_at(portfolio_curve(feeders, *limits), float(price)))
    return clear(feeders, *limits, target)


def commands(
    hierarchy: Hierarchy, shards: Sequence[SiteShard], columns: Sequence[SiteColumns], curves: Sequence[F64],
    cleared: Clearing | None, now_us: int, life_us: int, epoch: int,
) -> tuple[Records, ...]:  # fmt: skip
    """Each partition's commands: setpoints at the feeders' prices, arbitrated, for the sites that need telling.

    A site out of reach is told nothing: its curve is a guess, and held to it at night it would empty its battery.
    """
    feeders = np.flatnonzero(hierarchy.level == Level.FEEDER)
    row_of_feeder = np.zeros(hierarchy.groups, np.int64)
    row_of_feeder[feeders] = np.arange(feeders.size)
    out = []
    for part, (shard, own, curve) in enumerate(zip(shards, columns, curves, strict=True)):
        if cleared is None or shard.plan is None:
            out.append(np.zeros(0, COMMAND))
            continue
        feeder = row_of_feeder[hierarchy.feeder_of_site[part]]
        told = (shard.twins.table.capacity_kwh > 0) & own.reachable
        wish = np.where(told, setpoints(curve, feeder, cleared), np.nan)
        cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(own.net_load_kw))
        network = Proposal(Issuer.NETWORK, -cells.export_limit_kw, cells.import_limit_kw)
        resolved = resolve([network], wish)
        shard.setpoint_kw, shard.issuer = resolved.setpoint_kw, resolved.issuer
        shard.price_per_kwh = cleared.feeder_price_per_kwh[feeder]
        out.append(
            issue(shard.book, resolved.setpoint_kw, shard.price_per_kwh, resolved.issuer, now_us, life_us, epoch)
        )
    return tuple(out)
