"""A bid promises all that is expected, or what is left when the largest failure comes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.plant.model import Promise
from powerflock.plant.offering import promised
from tests.unit.plant.small import SETTINGS, START_US, TICK_US, Meters, enrolled, homes


def test_a_promise_moves_no_further_than_what_is_firm_and_no_further_than_the_network_allows() -> None:
    curve, firm = -10.0 * PRICE_GRID, -4.0 * PRICE_GRID
    np.testing.assert_array_equal(promised(curve, firm), firm)
    limited = np.clip(curve, -3.0, 3.0)
    np.testing.assert_array_equal(promised(limited, firm), np.clip(firm, -3.0, 3.0))
    moved = promised(np.minimum(curve, -1.0), firm)
    assert (np.diff(moved) <= 0).all(), "an offer curve even where the network's limit binds without any price"


def test_a_firm_bid_offers_less_than_is_expected() -> None:
    """Two of six homes are of one provider: without them a third less can be moved."""
    specs = [msgspec.structs.replace(spec, provider="a" if row < 2 else f"b{row}") for row, spec in enumerate(homes(6))]
    quantity = {}
    promises: tuple[Promise, ...] = ("expected", "firm")
    for promise in promises:
        ring = enrolled(specs, settings=replace(SETTINGS, promise=promise))
        ring.ingest(0, Meters(specs).read(START_US), START_US)
        ring.turn(START_US)
        bid = ring.turn(START_US + TICK_US).bid
        assert bid is not None
        quantity[promise] = sum(bid.quantity_mw)
    assert 0.0 < quantity["firm"] <= 0.7 * quantity["expected"]
