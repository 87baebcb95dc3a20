"""Prices down: the price that delivers what is left of the award, and the commands that follow from it."""

from __future__ import annotations

import numpy as np

from powerflock.curve.grid import read_at
from powerflock.dispatch.allocate import Clearing, clear, portfolio_curve, setpoints
from powerflock.dispatch.arbitrate import Proposal, resolve
from powerflock.dispatch.command import issue
from powerflock.dispatch.track import remaining_kw
from powerflock.domain.arrays import F32, F64, I32, Records
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.columns import Issuer
from powerflock.market.programme import coordination_per_kwh
from powerflock.market.signs import to_passive_kw
from powerflock.plant.model import Award, RingSettings
from powerflock.plant.offering import feeder_limits
from powerflock.plant.shard import SiteShard
from powerflock.plant.terms import batteries
from powerflock.twins.estimate import SiteColumns


def target_kw(award: Award, done_kwh: float, opened_us: int, now_us: int, interval_us: int) -> float | None:
    """The portfolio's net power that brings the interval's energy to its award; None without an award.

    `done_kwh` is what was metered since `opened_us`.
    """
    award_mw = award.mw
    if award_mw is None:
        return None
    elapsed = (now_us - opened_us) / MICROS_PER_HOUR
    whole = ((award.interval + 1) * interval_us - opened_us) / MICROS_PER_HOUR
    return remaining_kw(to_passive_kw(award_mw), whole, elapsed, done_kwh)


def clearing(feeders_kw: F64, award: Award, target: float | None, settings: RingSettings) -> Clearing | None:
    """The prices at which the feeders' curves (F, 41) meet `target`; without one, those that the spot price gives.

    None where there are no feeders.
    """
    if feeders_kw.shape[0] == 0:
        return None
    limits = feeder_limits(feeders_kw.shape[0], settings)
    if target is None:
        price = coordination_per_kwh(settings.programme, np.array([award.spot_per_mwh]))[0]
        target = float(read_at(portfolio_curve(feeders_kw, *limits), float(price)))
    return clear(feeders_kw, *limits, target)


def commands(
    shard: SiteShard, columns: SiteColumns, offers_kw: F32, feeder_of_site: I32, cleared: Clearing, now_us: int,
    life_us: int, epoch: int,
) -> Records:  # fmt: skip
    """A partition's commands: setpoints at the feeders' prices, arbitrated, for the sites that need telling.

    `feeder_of_site` (S,) indexes `cleared`'s feeders. A site out of reach is told nothing: its curve is a guess, and
    held to it at night it would empty its battery.
    """
    told = (shard.twins.table.capacity_kwh > 0) & columns.reachable
    wish = np.where(told, setpoints(offers_kw, feeder_of_site.astype(np.int64), cleared), np.nan)
    cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(columns.net_load_kw))
    network = Proposal(Issuer.NETWORK, -cells.export_limit_kw, cells.import_limit_kw)
    resolved = resolve([network], wish)
    shard.setpoint_kw, shard.issuer = resolved.setpoint_kw, resolved.issuer
    shard.price_per_kwh = cleared.feeder_price_per_kwh[feeder_of_site]
    return issue(shard.book, resolved.setpoint_kw, shard.price_per_kwh, resolved.issuer, now_us, life_us, epoch)
