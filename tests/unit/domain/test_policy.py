"""A policy says what a battery should do in any state, fits in a few hundred bytes and trusts no bytes."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.errors import InvalidInput
from powerflock.domain.policy import Basis, Levels, Policy, power_to_levels

START = 1_767_225_600_000_000
HALF_HOUR = 1_800_000_000
EVENING = Levels(buy_kwh=2.0, keep_kwh=6.0, use_kwh=2.0, sell_kwh=6.0)
NIGHT = Levels(buy_kwh=4.0, keep_kwh=10.0, use_kwh=8.0, sell_kwh=10.0)
POLICY = Policy((START, START + HALF_HOUR, START + 2 * HALF_HOUR), (EVENING, NIGHT), 0.95, 0.9, Basis.FLEET)


def kw(stored_kwh: float, net_load_kw: float, time_us: int = START, limit_kw: float = 5.0) -> float | None:
    return POLICY.power_kw(time_us, stored_kwh, net_load_kw, -limit_kw, limit_kw)


def test_energy_above_the_selling_level_is_sold_and_down_to_the_using_level_serves_the_home() -> None:
    assert kw(7.0, 1.0) == pytest.approx(-0.9 / 0.5), "1 kWh too much, sold over the half-hour"
    assert kw(9.5, 1.0) == -5.0, "as fast as the battery can"
    assert kw(5.0, 1.0) == -1.0, "the home's own load, no more"
    assert kw(2.1, 1.0) == pytest.approx(-0.09 / 0.5), "what is left above the level"
    assert kw(2.0, 1.0) == 0.0


def test_surplus_is_stored_up_to_the_keeping_level_and_the_grid_fills_to_the_buying_level() -> None:
    assert kw(5.0, -3.0, START + HALF_HOUR) == 3.0
    assert kw(9.9, -3.0, START + HALF_HOUR) == pytest.approx(0.1 / 0.95 / 0.5)
    assert kw(3.0, 2.0, START + HALF_HOUR) == pytest.approx(1.0 / 0.95 / 0.5)
    assert kw(6.0, 2.0, START + HALF_HOUR) == 0.0, "energy worth more later is not used now"


def test_the_rest_of_an_interval_ends_where_the_whole_would_have_ended() -> None:
    stored, minute = 6.5, 60_000_000
    for tick in range(30):
        power = kw(stored, 0.3, START + tick * minute)
        assert power is not None
        stored += power / 0.9 / 60
    assert stored == pytest.approx(6.5 + POLICY.change_kwh(0, 6.5, 0.3, -5.0, 5.0))
    assert stored == pytest.approx(6.0)


def test_a_policy_says_nothing_before_it_begins_and_from_its_horizon_on() -> None:
    assert kw(5.0, 1.0, START - 1) is None
    assert kw(5.0, 1.0, POLICY.horizon_us) is None
    assert kw(5.0, 1.0, POLICY.horizon_us - 1) is not None


def test_what_is_unknown_is_not_guessed() -> None:
    assert kw(float("nan"), 1.0) is None
    assert kw(5.0, float("nan")) is None
    with pytest.raises(InvalidInput, match="interval"):
        POLICY.change_kwh(2, 5.0, 1.0, -5.0, 5.0)


@st.composite
def _policies(draw: st.DrawFn) -> Policy:
    lengths = draw(st.lists(st.sampled_from([300_000_000, 1_800_000_000, 1]), min_size=1, max_size=60))
    bounds = [START]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    four = st.tuples(*[st.floats(0.0, 2_000.0)] * 4)
    levels = []
    for one, keep, use, other in draw(st.lists(four, min_size=len(lengths), max_size=len(lengths))):
        low, high = min(one, other), max(one, other)
        levels.append(Levels(low, min(max(keep, low), high), min(max(use, low), high), high))
    ratio = st.floats(0.5, 1.0)
    return Policy(tuple(bounds), tuple(levels), draw(ratio), draw(ratio), draw(st.sampled_from(Basis)))


@given(_policies())
@settings(max_examples=60, deadline=None)
def test_what_arrives_is_what_was_sent_to_a_tenth_of_a_watt_hour(policy: Policy) -> None:
    arrived = Policy.from_bytes(policy.to_bytes())
    assert arrived.bounds_us == policy.bounds_us
    assert arrived.basis is policy.basis
    assert arrived.charge_efficiency_ratio == pytest.approx(policy.charge_efficiency_ratio, abs=5e-7)
    np.testing.assert_allclose(arrived.levels, policy.levels, atol=0.000_050_1)
    assert Policy.from_bytes(arrived.to_bytes()) == arrived


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_byte_changed_on_the_way_is_noticed(place: int, change: int) -> None:
    payload = bytearray(POLICY.to_bytes())
    assert Policy.from_bytes(bytes(payload)) == POLICY
    payload[place % len(payload)] ^= change
    with pytest.raises(InvalidInput, match="policy"):
        Policy.from_bytes(bytes(payload))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_other_bytes_even_with_a_right_checksum_are_refused_by_name(noise: bytes) -> None:
    body = POLICY.to_bytes()[:4] + noise
    for payload in (noise, body, body + zlib.crc32(body).to_bytes(4, "little")):
        with pytest.raises(InvalidInput, match="policy"):
            Policy.from_bytes(payload)


def test_a_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=-15)
    body = POLICY.to_bytes()[:4] + bytes([0x80]) + packer.compress(bytes(30_000_000)) + packer.flush()
    with pytest.raises(InvalidInput, match="policy"):
        Policy.from_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_columns_of_homes_get_the_same_bits_as_one_home(seed: int) -> None:
    random = np.random.default_rng(seed)
    homes = 20
    levels = np.sort(random.uniform(0.0, 10.0, (4, homes)), axis=0)
    stored, load, hours = (
        random.uniform(0.0, 10.0, homes),
        random.normal(0.0, 3.0, homes),
        random.uniform(0.01, 1, homes),
    )
    into, out = random.uniform(0.8, 1.0, (2, homes))
    together = power_to_levels(tuple(levels), stored, load, hours, (into, out), np.minimum, np.maximum)
    for home in range(homes):
        own = tuple(levels[:, home].tolist())
        alone = power_to_levels(
            own, float(stored[home]), float(load[home]), float(hours[home]), (float(into[home]), float(out[home])),
            min, max,
        )  # fmt: skip
        assert alone == together[home]


def test_an_edge_needs_neither_numba_nor_numpy_for_it() -> None:
    code = "import sys, powerflock.domain.policy; print([name for name in ('numba', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_no_edge_would_take_is_refused_before_it_is_sent() -> None:
    good = Levels(1.0, 2.0, 1.0, 3.0)
    bounds = tuple(range(0, 4098 * 300_000_000, 300_000_000))
    with pytest.raises(InvalidInput, match="intervals is 4097"):
        Policy(bounds, (good,) * 4097, 0.9, 0.9, Basis.OWNER).to_bytes()
    for bad in (
        good._replace(keep_kwh=float("nan")),
        good._replace(buy_kwh=-1.0),
        good._replace(sell_kwh=float("inf")),
    ):
        with pytest.raises(InvalidInput, match="levels"):
            Policy(bounds[:2], (bad,), 0.9, 0.9, Basis.OWNER).to_bytes()
