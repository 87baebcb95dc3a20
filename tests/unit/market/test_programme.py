"""The programme turns spot into the coordination price and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.errors import InvalidInput
from powerflock.market.programme import (
    Programme,
    check_programme,
    coordination_per_kwh,
    spot_per_mwh,
)
from powerflock.market.signs import to_market_mw, to_passive_kw

programmes = st.builds(
    Programme,
    kind=st.sampled_from(["aggregator", "retailer"]),
    reimbursement_per_kwh=st.floats(0.0, 0.5),
    loss_factor_ratio=st.floats(0.8, 1.2),
    owner_share_ratio=st.floats(0.0, 1.0),
)


@given(programmes, st.lists(st.floats(-1000.0, 17500.0), min_size=1, max_size=5))
def test_spot_and_coordination_price_are_each_others_inverse(programme: Programme, spots: list[float]) -> None:
    there_and_back = spot_per_mwh(programme, coordination_per_kwh(programme, np.array(spots)))
    np.testing.assert_allclose(there_and_back, spots, rtol=1e-12, atol=1e-9)


def test_in_front_of_the_meter_a_kwh_is_worth_its_spot_price() -> None:
    assert coordination_per_kwh(Programme(), np.array([90.0]))[0] == pytest.approx(0.09)


def test_an_aggregator_keeps_spot_less_what_it_reimburses() -> None:
    assert coordination_per_kwh(Programme("aggregator", 0.08), np.array([90.0]))[0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("programme", "named"),
    [(Programme("barter"), "programme.kind"), (Programme(reimbursement_per_kwh=0.1), "reimbursement_per_kwh")],
)
def test_a_programme_that_makes_no_sense_is_named(programme: Programme, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        check_programme(programme)


def test_the_market_sees_what_leaves_the_homes_as_positive() -> None:
    assert to_market_mw(-1500.0) == 1.5
    assert to_passive_kw(to_market_mw(-1500.0)) == -1500.0
