"""Following an award within its interval: what must still be delivered, from what the meters say was."""

from __future__ import annotations

CATCH_UP_RATIO = 0.25
"""What was missed is made up over at least this share of an interval, so that the end of one brings no spike."""


def remaining_kw(award_kw: float, interval_hours: float, elapsed_hours: float, delivered_kwh: float) -> float:
    """The power that brings the interval's energy to its award, kW passive: the award, and what was missed so far.

    Args:
        award_kw: mean power awarded for the interval.
        interval_hours: length of the interval.
        elapsed_hours: how much of it has passed.
        delivered_kwh: metered net energy since it began.
    """
    missed_kwh = award_kw * elapsed_hours - delivered_kwh
    return award_kw + missed_kwh / max(interval_hours - elapsed_hours, CATCH_UP_RATIO * interval_hours)
