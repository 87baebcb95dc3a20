"""The account: each interval settled once, at its real price, from metered energy, and revised where some came late.

Generation-positive MWh, $. `earned` is the coordination price times the energy moved against the world beside, in which
every home does the best for its owner alone. Out of it come `owner_payments` (what following cost them, and their share
of the gain) and `top_up` (what a day that came out worse than beside still owed); the rest is the fleet's margin.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One settled interval. `award_mw` is None when no bid stood (for example right after a start).

    `coverage_ratio` is the share of the sites that were told of, and fresh, when it ended. `partitions` are those
    whose energy is in it (None: not kept, by an earlier version). A `revision` above 0 takes the place of the one
    before: more partitions have told since.
    """

    interval_us: int
    hours: float
    spot_per_mwh: float
    award_mw: float | None
    delivered_mwh: float
    earned: float
    owner_payments: float
    top_up: float
    coverage_ratio: float
    partitions: tuple[int, ...] | None = None
    revision: int = 0

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

    def plus(self, item: Settlement, times: int = 1) -> Account:
        """The account after one more settled interval; -1 `times` takes it out again."""
        awarded = item.award_mw is not None
        return Account(
            self.intervals + times,
            self.awarded_mwh + times * item.awarded_mwh,
            self.delivered_mwh + times * (item.delivered_mwh if awarded else 0.0),
            self.deviation_mwh + times * (abs(item.delivered_mwh - item.awarded_mwh) if awarded else 0.0),
            self.absolute_award_mwh + times * abs(item.awarded_mwh),
            self.market_revenue + times * item.market_revenue,
            self.earned + times * item.earned,
            self.owner_payments + times * item.owner_payments,
            self.top_up + times * item.top_up,
        )

    def revised(self, before: Settlement, after: Settlement) -> Account:
        """The account with `after` in the place of `before`."""
        return self.plus(before, -1).plus(after)


def newest_of(items: Iterable[Settlement]) -> list[Settlement]:
    """The newest of each interval, in the order in which intervals were settled first."""
    return list({item.interval_us: item for item in items}.values())
