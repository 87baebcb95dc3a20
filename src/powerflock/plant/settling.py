"""Settling an interval: what the meters say was delivered, what it earned, and what owners are paid for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR
from powerflock.market.account import Settlement
from powerflock.market.programme import coordination_per_kwh
from powerflock.market.signs import to_market_mw
from powerflock.plant.model import Award, RingSettings, Venue
from powerflock.plant.shard import SiteShard
from powerflock.twins.estimate import Freshness, SiteColumns


class _Sums(NamedTuple):
    """The portfolio's kWh (passive) and $."""

    net_kwh: float
    earned: float
    paid: float
    topped_up: float


def settle(
    shards: Sequence[SiteShard], columns: Sequence[SiteColumns], award: Award, opened_us: int, now_us: int,
    venue: Venue, settings: RingSettings,
) -> tuple[Settlement, ...]:  # fmt: skip
    """Settle the open interval, and any that passed unattended since, up to the one that holds `now_us`.

    Where several passed (the plant was down) the metered energy is shared among them by time; only the first has an
    award, and it carries all of the owners' money. Owners' payments are added to each shard's `paid`.
    """
    length = settings.interval_us
    until = now_us // length
    hours = (now_us - opened_us) / MICROS_PER_HOUR
    price = float(coordination_per_kwh(settings.programme, np.array([award.spot_per_mwh]))[0])
    sums = _Sums(0.0, 0.0, 0.0, 0.0)
    for shard, own in zip(shards, columns, strict=True):
        if shard.sites and shard.books is not None:
            result = shard.settle(own, award.interval, until - 1, length, hours)
            earned = np.nan_to_num(price * (result.beside_kwh - result.net_kwh))
            shard.pay(result.regret, earned)
            parts = [float(np.nansum(result.net_kwh)), float(earned.sum()), float(result.regret.sum()), 0.0]
            if _day(opened_us, settings) != _day(now_us, settings):
                end = shard.close_day(own, until, settings.programme.owner_share_ratio)
                parts[2:] = [parts[2] + float(end.share.sum()), float(end.top_up.sum())]
            sums = _Sums(*(total + part for total, part in zip(sums, parts, strict=True)))
    share = 1.0 / (until - award.interval)
    coverage = _coverage(columns)
    return tuple(
        Settlement(
            number * length,
            hours * share,
            venue.spot_per_mwh(number * length),
            award.mw if number == award.interval else None,
            to_market_mw(sums.net_kwh * share),
            sums.earned if number == award.interval else 0.0,
            sums.paid if number == award.interval else 0.0,
            sums.topped_up if number == award.interval else 0.0,
            coverage,
        )
        for number in range(award.interval, until)
    )


def _day(time_us: int, settings: RingSettings) -> int:
    """Number of the local day that holds `time_us`."""
    return (time_us + settings.day_offset_us) // MICROS_PER_DAY


def _coverage(columns: Sequence[SiteColumns]) -> float:
    """Share of the sites that are fresh; 0 without sites."""
    fresh = sum(int((own.freshness == Freshness.FRESH).sum()) for own in columns)
    return fresh / max(sum(own.freshness.size for own in columns), 1)
