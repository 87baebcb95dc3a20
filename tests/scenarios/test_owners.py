"""Nobody is worse off: with perfect forecasts on no day, and with real ones not after the day's end settles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.sim.simulated import Simulated, simulated

CENT = 0.01


@pytest.fixture(
    scope="module",
    params=[(1, 1, ""), (2, 1, ""), (3, 1, ""), (4, 2, "2025-01-20")],
    ids=["seed 1", "seed 2", "seed 3", "two real days"],
)
def perfect(request: pytest.FixtureRequest) -> Simulated:
    seed, days, real_from = request.param
    return simulated(seed, 20, days, perfect=True, real_from=real_from)


@pytest.fixture(scope="module", params=[(1, 20), (3, 50)], ids=["seed 1", "seed 3"])
def real(request: pytest.FixtureRequest) -> Simulated:
    """Among the 50 homes of seed 3 is one for which a taper near full happens to pay."""
    return simulated(*request.param, perfect=False)


def test_with_perfect_forecasts_no_bill_is_higher_on_any_day_before_any_top_up(perfect: Simulated) -> None:
    """A hundredth of a cent is what rounding and a taper unknown to the plan may cost."""
    worst = perfect.before.max()
    assert worst <= CENT / 100, f"home-day {np.unravel_index(perfect.before.argmax(), perfect.before.shape)}: ${worst}"
    assert perfect.summary["worse_off_homes_before_top_up"] == 0


def test_with_perfect_forecasts_the_plant_is_worth_having(perfect: Simulated) -> None:
    gained = perfect.run.joint_alone - perfect.run.joint_vpp
    assert gained > 0.0
    assert 0.7 < perfect.run.share_of_perfect < 1.02


def test_with_real_forecasts_no_bill_is_higher_once_the_day_has_ended(real: Simulated) -> None:
    assert real.after.max() <= CENT / 100
    assert real.summary["worse_off_homes"] == 0


def test_what_the_guarantee_cost_is_told(real: Simulated) -> None:
    assert real.summary["top_up"] == pytest.approx(real.run.top_up.sum(), abs=1e-5)
    assert real.runner.ring.account.top_up == pytest.approx(real.run.top_up.sum(), abs=1e-6)
    needed = int((real.before > CENT / 100).any(axis=0).sum())
    assert real.summary["worse_off_homes_before_top_up"] == needed
    assert (real.run.top_up[real.before > CENT] > 0.0).all()


def test_no_home_is_paid_twice(real: Simulated) -> None:
    """A home that lost nothing needs no top-up."""
    spare = real.run.top_up[real.before < -CENT]
    assert spare.size > 0
    assert spare.max() < CENT


def test_the_bills_add_up(real: Simulated) -> None:
    alone = sum(float(day.alone.sum()) for day in real.run.days)
    assert real.summary["bill_alone"] == pytest.approx(alone, abs=1e-5)
    assert real.summary["bill_with_vpp"] == pytest.approx(alone + real.after.sum(), abs=1e-5)


def test_the_money_adds_up(real: Simulated) -> None:
    """What owners got is what the account paid."""
    account = real.runner.ring.account
    paid = sum(float((day.paid + day.share).sum()) for day in real.run.days)
    assert account.owner_payments == pytest.approx(paid, abs=1e-6)
    assert account.fleet_margin == pytest.approx(account.earned - paid - real.run.top_up.sum(), abs=1e-6)
