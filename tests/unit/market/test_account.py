"""The account is the sum of its intervals, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.market.account import Account, Settlement

settlements = st.builds(
    Settlement,
    interval_us=st.just(0),
    hours=st.sampled_from([1 / 12, 0.5]),
    spot_per_mwh=st.floats(-1000, 17500),
    award_mw=st.none() | st.floats(-50, 50),
    delivered_mwh=st.floats(-5, 5),
    earned=st.floats(-100, 100),
    owner_payments=st.floats(0, 100),
    top_up=st.floats(0, 100),
    coverage_ratio=st.floats(0, 1),
)


@given(st.lists(settlements, max_size=20))
def test_totals_are_sums_over_intervals(items: list[Settlement]) -> None:
    account = Account()
    for item in items:
        account = account.plus(item)
    awarded = [item for item in items if item.award_mw is not None]
    assert account.intervals == len(items)
    assert account.awarded_mwh == pytest.approx(sum(item.awarded_mwh for item in awarded))
    assert account.delivered_mwh == pytest.approx(sum(item.delivered_mwh for item in awarded))
    assert account.deviation_mwh == pytest.approx(sum(abs(item.delivered_mwh - item.awarded_mwh) for item in awarded))
    assert account.market_revenue == pytest.approx(sum(item.delivered_mwh * item.spot_per_mwh for item in items))
    assert account.fleet_margin == pytest.approx(sum(item.earned - item.owner_payments - item.top_up for item in items))


@given(st.lists(settlements, min_size=1, max_size=9), settlements)
def test_a_revision_takes_the_place_of_what_was_settled_before(items: list[Settlement], after: Settlement) -> None:
    account, wanted = Account(), Account().plus(after)
    for item in items:
        account = account.plus(item)
    for item in items[1:]:
        wanted = wanted.plus(item)
    revised = msgspec.structs.astuple(account.revised(items[0], after))
    assert revised == pytest.approx(msgspec.structs.astuple(wanted), abs=1e-6)


def test_energy_without_an_award_is_paid_at_spot_but_no_deviation() -> None:
    account = Account().plus(Settlement(0, 1 / 12, 100.0, None, -2.0, 0.0, 0.0, 0.0, 1.0))
    assert (account.delivered_mwh, account.deviation_mwh, account.market_revenue) == (0.0, 0.0, -200.0)


def test_selling_at_a_negative_price_costs_money() -> None:
    assert Settlement(0, 0.5, -50.0, 1.0, 0.4, 0.0, 0.0, 0.0, 1.0).market_revenue == -20.0
