"""The ladder: a command, else the policy until its horizon, else self-consumption; and which policies a home takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from powerflock.domain.arrays import F64
from powerflock.domain.policy import Basis, Levels, Policy
from powerflock.edge.ladder import MAX_POLICY_HORIZON_US, Policies, Rung, rungs
from powerflock.edge.safety import Refusal

NOW = 1_767_225_600_000_000
MINUTE, HOUR = 60_000_000, 3_600_000_000
HOLD, SELL = Levels(2.0, 10.0, 10.0, 10.0), Levels(2.0, 4.0, 2.0, 4.0)
POLICY = Policy((NOW, NOW + HOUR, NOW + 2 * HOUR), (HOLD, SELL), 0.95, 0.95, Basis.FLEET)


def holding(homes: int = 2, policy: Policy = POLICY) -> Policies:
    policies = Policies(homes)
    assert policies.take(0, policy.to_bytes(), 3, NOW) is Refusal.ACCEPTED
    return policies


def powers(policies: Policies, now_us: int, stored_kwh: float = 8.0, net_load_kw: float = 1.0) -> F64:
    homes = policies.held.size
    stored, load = np.full(homes, stored_kwh), np.full(homes, net_load_kw)
    return policies.power_kw(np.ones(homes, np.bool_), now_us, stored, load, MINUTE)


def test_a_home_with_a_policy_keeps_its_energy_for_the_hour_it_was_planned_for_and_then_sells() -> None:
    policies = holding()
    assert powers(policies, NOW)[0] == 0.0
    assert powers(policies, NOW + HOUR)[0] == pytest.approx(-4.0 * 0.95)
    assert powers(policies, NOW + HOUR, stored_kwh=4.0)[0] == -1.0
    assert np.isnan(powers(policies, NOW)[1]), "the other home has none"


def test_beyond_its_horizon_a_policy_says_nothing_and_time_may_go_on_or_back() -> None:
    policies = holding()
    assert np.isnan(powers(policies, NOW + 2 * HOUR)).all()
    assert np.isnan(powers(policies, NOW + 9 * HOUR)).all()
    assert powers(policies, NOW + HOUR)[0] < 0.0
    assert np.isnan(powers(policies, NOW - 1)).all()
    assert powers(policies, NOW)[0] == 0.0


def test_columns_decide_exactly_as_the_policy_of_one_home() -> None:
    policies = holding()
    for minute in range(0, 120, 7):
        now, stored, load = NOW + minute * MINUTE, 3.0 + minute / 17, 2.0 - minute / 40
        alone = Policy.from_bytes(POLICY.to_bytes()).power_kw(now, stored, load, -np.inf, np.inf)
        assert powers(policies, now, stored, load)[0] == alone


def test_near_an_intervals_end_the_level_is_not_overshot_by_holding_on() -> None:
    power = powers(holding(), NOW + 2 * HOUR - 1, stored_kwh=4.1)[0]
    assert power * MINUTE / HOUR / 0.95 == pytest.approx(-0.1)


def test_homes_that_are_told_something_are_not_asked() -> None:
    policies = holding()
    nobody = np.zeros(2, np.bool_)
    assert np.isnan(policies.power_kw(nobody, NOW, np.full(2, 8.0), np.ones(2), MINUTE)).all()


def moved(by_us: int, policy: Policy = POLICY) -> bytes:
    return replace(policy, bounds_us=tuple(bound + by_us for bound in policy.bounds_us)).to_bytes()


@pytest.mark.parametrize(
    ("payload", "epoch", "reason"),
    [
        (POLICY.to_bytes()[:-1], 3, Refusal.MALFORMED),
        (b"", 3, Refusal.MALFORMED),
        (moved(-2 * HOUR), 3, Refusal.EXPIRED),
        (moved(MAX_POLICY_HORIZON_US), 3, Refusal.BEYOND_HORIZON),
        (moved(HOUR), 2, Refusal.OLDER_EPOCH),
        (moved(-HOUR), 3, Refusal.REPLAYED),
        (moved(-HOUR), 4, Refusal.ACCEPTED),
        (moved(0), 3, Refusal.ACCEPTED),
        (moved(HOUR), 3, Refusal.ACCEPTED),
    ],
    ids=["cut", "nothing", "over", "far", "former owner", "older plan", "older plan, new owner", "again", "newer plan"],
)
def test_only_a_whole_current_bounded_and_newer_policy_takes_the_place_of_the_one_held(
    payload: bytes, epoch: int, reason: Refusal
) -> None:
    policies = holding()
    assert policies.take(0, payload, epoch, NOW) is reason
    changed = not np.array_equal(powers(policies, NOW + HOUR), powers(holding(), NOW + HOUR), equal_nan=True)
    assert changed == (reason is Refusal.ACCEPTED and payload != POLICY.to_bytes())


def test_a_former_owner_known_from_commands_is_refused_too() -> None:
    assert Policies(1).take(0, POLICY.to_bytes(), 3, NOW, least_epoch=4) is Refusal.OLDER_EPOCH


def test_a_home_says_on_which_rung_it_stands() -> None:
    setpoint, policy = np.array([1.0, 1.0, np.nan, np.nan]), np.array([2.0, np.nan, 2.0, np.nan])
    assert rungs(setpoint, policy).tolist() == [Rung.COMMAND, Rung.COMMAND, Rung.POLICY, Rung.SELF_CONSUMPTION]
