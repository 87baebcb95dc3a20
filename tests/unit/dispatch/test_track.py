"""Following an award: what was missed is made up in time, without a spike at the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.dispatch.track import CATCH_UP_RATIO, remaining_kw

HOUR = 1 / 12


def test_on_course_the_target_is_the_award() -> None:
    assert remaining_kw(-60.0, HOUR, 0.0, 0.0) == -60.0
    assert remaining_kw(-60.0, HOUR, HOUR / 2, -60.0 * HOUR / 2) == pytest.approx(-60.0)


@given(st.floats(-1000, 1000), st.floats(-50, 50), st.floats(0.0, 0.7))
def test_what_was_missed_is_made_up_by_the_end(award: float, delivered: float, share: float) -> None:
    """While there is time enough, following the target to the end gives the award's energy."""
    target = remaining_kw(award, HOUR, share * HOUR, delivered)
    assert delivered + target * HOUR * (1.0 - share) == pytest.approx(award * HOUR, abs=1e-9)


@given(st.floats(-1000, 1000), st.floats(-50, 50), st.floats(0.0, 1.0))
def test_the_last_moments_bring_no_spike(award: float, delivered: float, share: float) -> None:
    missed = award * share * HOUR - delivered
    extra = remaining_kw(award, HOUR, share * HOUR, delivered) - award
    assert abs(extra) <= abs(missed) / (CATCH_UP_RATIO * HOUR) + 1e-9
