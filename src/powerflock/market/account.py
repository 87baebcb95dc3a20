"""The account: each interval settled once, at its real price, from metered energy.

Generation-positive MWh, $. `earned` is the coordination price times the energy moved against the world beside, in which
every home does the best for its owner alone. Out of it come `owner_payments` (what following cost them, and their share
of the gain) and `top_up` (what a day that came out worse than beside still owed); the rest is the fleet's margin.
"""

from __future__ import annotations

import msgspec


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One settled interval. `award_mw` is None when no bid stood (for example right after a start)."""

    interval_us: int
    hours: float
    spot_per_mwh: float
    award_mw: float | None
    delivered_mwh: float
    earned: float
    owner_payments: float
    top_up: float
    coverage_ratio: float

    @property
    def awarded_mwh(self) -> float:
        """The award's energy; 0 without one."""
        return (self.award_mw or 0.0) * self.hours

    @property
    def market_revenue(self) -> float:
        """Delivered energy at the spot price, $; negative when the portfolio bought."""
        return self.delivered_mwh * self.spot_per_mwh


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Running totals over settled intervals; those without an award count in `intervals` and the money only."""

    intervals: int = 0
    awarded_mwh: float = 0.0
    delivered_mwh: float = 0.0
    deviation_mwh: float = 0.0
    absolute_award_mwh: float = 0.0
    market_revenue: float = 0.0
    earned: float = 0.0
    owner_payments: float = 0.0
    top_up: float = 0.0

    @property
    def fleet_margin(self) -> float:
        """What is left to the fleet of what deviations earned, $."""
        return self.earned - self.owner_payments - self.top_up

    def plus(self, item: Settlement) -> Account:
        """The account after one more settled interval."""
        awarded = item.award_mw is not None
        return Account(
            self.intervals + 1,
            self.awarded_mwh + item.awarded_mwh,
            self.delivered_mwh + (item.delivered_mwh if awarded else 0.0),
            self.deviation_mwh + (abs(item.delivered_mwh - item.awarded_mwh) if awarded else 0.0),
            self.absolute_award_mwh + abs(item.awarded_mwh),
            self.market_revenue + item.market_revenue,
            self.earned + item.earned,
            self.owner_payments + item.owner_payments,
            self.top_up + item.top_up,
        )
