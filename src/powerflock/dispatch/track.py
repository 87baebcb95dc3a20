"""Following an award within its interval: what must still be delivered, from what the meters say was."""

from __future__ import annotations


def remaining_kw(award_kw: float, interval_hours: float, delivered_kwh: float, hours_left: float) -> float:
    """The mean power that brings the interval's energy to its award, kW passive.

    With less than a hundredth of the interval left the award itself is returned: too late to make up for anything.
    """
    if hours_left < interval_hours * 0.01:
        return award_kw
    return (award_kw * interval_hours - delivered_kwh) / hours_left
