"""Safety over network over owner over market: a lower authority never moves a home out of what a higher one allows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from powerflock.dispatch.arbitrate import Proposal, resolve
from powerflock.domain.columns import Issuer

bound = st.floats(-20.0, 20.0) | st.just(float("nan"))
AUTHORITIES = [Issuer.SAFETY, Issuer.NETWORK, Issuer.OWNER]


@st.composite
def proposals(draw: st.DrawFn) -> list[Proposal]:
    """Bounds of one site by some authorities in any order; each sound in itself, together perhaps not."""
    out = []
    for issuer in draw(st.permutations(AUTHORITIES)):
        low, high = draw(bound), draw(bound)
        if low > high:
            low, high = high, low
        out.append(Proposal(issuer, np.array([low]), np.array([high])))
    return out


@given(proposals(), st.floats(-30.0, 30.0))
def test_no_authority_is_overruled_by_a_lower_one(given_bounds: list[Proposal], wish: float) -> None:
    """Recomputed one site at a time: each authority clips what the higher ones left."""
    low, high = -np.inf, np.inf
    for proposal in sorted(given_bounds, key=lambda item: item.issuer):
        asked_low, asked_high = float(proposal.low_kw[0]), float(proposal.high_kw[0])
        asked_low = low if np.isnan(asked_low) else min(max(asked_low, low), high)
        asked_high = high if np.isnan(asked_high) else min(max(asked_high, low), high)
        low, high = asked_low, max(asked_high, asked_low)
        told = float(resolve(given_bounds, np.array([wish])).setpoint_kw[0])
        assert low <= told <= high
    assert told == min(max(wish, low), high)


@given(proposals(), st.floats(-30.0, 30.0))
def test_the_order_of_proposals_does_not_matter(given_bounds: list[Proposal], wish: float) -> None:
    one, other = resolve(given_bounds, np.array([wish])), resolve(given_bounds[::-1], np.array([wish]))
    assert (one.setpoint_kw, one.issuer) == (other.setpoint_kw, other.issuer)


@given(proposals(), st.floats(-30.0, 30.0))
def test_the_issuer_is_the_market_exactly_where_its_wish_stands(given_bounds: list[Proposal], wish: float) -> None:
    told = resolve(given_bounds, np.array([wish]))
    assert (told.issuer[0] == Issuer.MARKET) == (told.setpoint_kw[0] == wish)


def test_the_binding_authority_signs() -> None:
    nan = np.full(3, np.nan)
    network = Proposal(Issuer.NETWORK, np.array([-5.0, -5.0, -5.0]), np.array([5.0, 5.0, 5.0]))
    owner = Proposal(Issuer.OWNER, np.array([-2.0, 8.0, np.nan]), nan)
    told = resolve([owner, network], np.array([-9.0, 0.0, 0.0]))
    np.testing.assert_array_equal(told.setpoint_kw, [-2.0, 5.0, 0.0])
    np.testing.assert_array_equal(told.issuer, [Issuer.OWNER, Issuer.OWNER, Issuer.MARKET])


def test_a_home_without_a_wish_gets_no_setpoint() -> None:
    network = Proposal(Issuer.NETWORK, np.array([-5.0]), np.array([5.0]))
    assert np.isnan(resolve([network], np.array([np.nan])).setpoint_kw[0])
