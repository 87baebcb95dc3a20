"""Settling an interval: what the meters say was delivered, what it earned, and what owners are paid for it."""

from __future__ import annotations

from collections.abc import Sequence

from powerflock.market.account import Settlement
from powerflock.market.signs import to_market_mw
from powerflock.plant.messages import Closed
from powerflock.plant.model import Award, Venue


def settlements(
    award: Award, until: int, hours: float, parts: Sequence[Closed], venue: Venue, interval_us: int,
    coverage_ratio: float,
) -> tuple[Settlement, ...]:  # fmt: skip
    """Settle the award's interval, and any that passed unattended since, up to, not including, `until`.

    Where several passed (the plant was down) the metered energy of these `hours` is shared among them by time; only the
    first has an award, and it carries all of the owners' money.
    """
    share = 1.0 / (until - award.interval)
    net_kwh = sum(part.net_kwh for part in parts)
    settled = []
    for number in range(award.interval, until):
        first = number == award.interval
        settled.append(
            Settlement(
                interval_us=number * interval_us,
                hours=hours * share,
                spot_per_mwh=venue.spot_per_mwh(number * interval_us),
                award_mw=award.mw if first else None,
                delivered_mwh=to_market_mw(net_kwh * share),
                earned=sum(part.earned for part in parts) if first else 0.0,
                owner_payments=sum(part.paid for part in parts) if first else 0.0,
                top_up=sum(part.topped_up for part in parts) if first else 0.0,
                coverage_ratio=coverage_ratio,
            )
        )
    return tuple(settled)
