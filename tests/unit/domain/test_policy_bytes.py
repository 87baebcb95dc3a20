"""A fleet's policies are written at once, and each is what one home's would be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import MAX_INTERVALS, Basis, Levels, Policy
from powerflock.domain.policy_bytes import policies_to_bytes

START, HALF_HOUR = 1_767_225_600_000_000, 1_800_000_000


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(1, 60), st.sampled_from([1.0, 14.0, 2e6]))
@settings(max_examples=60, deadline=None)
def test_each_homes_bytes_are_those_of_its_own_policy(seed: int, homes: int, intervals: int, most_kwh: float) -> None:
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.uniform(0.0, most_kwh, (homes, intervals, 4)), axis=2)
    levels[rng.uniform(size=levels.shape[:2]) < 0.3] = most_kwh
    levels = np.round(levels, 3)
    bounds = [START, *(START + np.cumsum(rng.choice([300_000_000, HALF_HOUR], intervals))).tolist()]
    into, out = rng.choice([0.9, 0.95, 1.0], (2, homes))
    one_by_one = [
        Policy(tuple(bounds), tuple(map(Levels._make, own)), charge, discharge, Basis.FLEET).to_bytes()
        for own, charge, discharge in zip(levels.tolist(), into.tolist(), out.tolist(), strict=True)
    ]
    assert policies_to_bytes(bounds, levels, into, out, Basis.FLEET) == one_by_one


@pytest.mark.parametrize(
    "wrong", [[3.0, 2.0, 2.0, 3.0], [0.0, 1.0, np.nan, 2.0], [-1.0, 1.0, 1.0, 2.0], [0.0, 1.0, 1.0, np.inf]]
)
def test_one_home_whose_levels_make_no_sense_is_refused_before_anything_is_sent(wrong: list[float]) -> None:
    levels = np.array([[[1.0, 2.0, 2.0, 3.0]], [wrong]])
    ratios = np.full(2, 0.95)
    with pytest.raises(InvalidInput, match="policy's levels"):
        policies_to_bytes([START, START + HALF_HOUR], levels, ratios, ratios, Basis.OWNER)


def test_more_intervals_than_an_edge_takes_are_refused() -> None:
    bounds = [START + HALF_HOUR * number for number in range(MAX_INTERVALS + 2)]
    with pytest.raises(InvalidInput, match="policy's intervals"):
        policies_to_bytes(bounds, np.ones((1, MAX_INTERVALS + 1, 4)), np.ones(1), np.ones(1), Basis.OWNER)
