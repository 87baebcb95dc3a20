"""Settling an interval: what the meters say was delivered, what it earned, and what owners are paid for it.

Invariants: a partition's energy is in an interval's settlement once, whenever it is told; nothing is added for one that
has not told: what is missing shows in the coverage.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from powerflock.market.account import Settlement
from powerflock.market.signs import to_market_mw
from powerflock.plant.messages import Closed


def unsettled(number: int, award_mw: float | None, hours: float, spot_per_mwh: float, interval_us: int) -> Settlement:
    """Interval `number` as it ends: nobody has told yet what came of it."""
    return Settlement(number * interval_us, hours, spot_per_mwh, award_mw, 0.0, 0.0, 0.0, 0.0, 0.0, ())


def with_parts(item: Settlement, parts: Mapping[int, Closed], sites: float) -> Settlement:
    """The settlement with what these partitions, which were not in it, tell of its interval; all have `sites`."""
    told = parts.values()
    return msgspec.structs.replace(
        item,
        delivered_mwh=item.delivered_mwh + to_market_mw(sum(part.net_kwh for part in told)),
        earned=item.earned + sum(part.earned for part in told),
        owner_payments=item.owner_payments + sum(part.paid for part in told),
        top_up=item.top_up + sum(part.topped_up for part in told),
        coverage_ratio=min(item.coverage_ratio + sum(part.fresh for part in told) / max(sites, 1.0), 1.0),
        partitions=tuple(sorted({*(item.partitions or ()), *parts})),
    )
