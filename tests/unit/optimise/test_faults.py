"""Bad input is named by home and field, and costs the other homes nothing."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
import pytest

from benchmarks.highs_reference import changing_problems, random_problems
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise.faults import check_problems, faults
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, VaryingLimits
from powerflock.optimise.site import solve, solve_each

T = TypeVar("T", SiteProblems, Batteries, VaryingLimits)


def _with(table: T, name: str, value: object) -> T:
    return dataclasses.replace(table, **{name: value})  # type: ignore[arg-type]  # any column, chosen by its name


def _spoilt(problems: SiteProblems, *bad: tuple[int, str, float]) -> SiteProblems:
    """The problems with `value` in `field` of home `home`, in the last interval where it varies."""
    for home, field, value in bad:
        owner, _, name = field.rpartition(".")
        table = getattr(problems, owner) if owner else problems
        column = getattr(table, name).copy()
        column[(home, -1) if column.ndim > 1 else home] = value
        problems = _with(problems, owner, _with(table, name, column)) if owner else _with(problems, name, column)
    return problems


def test_a_batch_with_bad_homes_returns_the_good_ones_and_the_errors() -> None:
    sound = changing_problems(1, 30, 8)
    expected = solve_each(sound)
    spoilt = _spoilt(
        sound, (3, "net_load_kw", np.nan), (7, "batteries.charge_efficiency_ratio", -0.9),
        (11, "limits.floor_kwh", 1e3), (12, "curtailable_kw", -1.0), (13, "limits.import_limit_kw", np.inf),
    )  # fmt: skip
    plans = solve_each(spoilt, keep=2)
    broken = {
        3: "net_load_kw",
        7: "charge_efficiency_ratio",
        11: "floor_kwh",
        12: "curtailable_kw",
        13: "import_limit_kw",
    }
    assert set(plans.errors) == set(expected.errors) | set(broken)
    for home, field in broken.items():
        assert f"home {home}" in str(plans.errors[home])
        assert field in str(plans.errors[home])
        assert np.isnan(plans.cost[home])
        assert np.isnan(plans.battery_kw[home]).all()
        assert plans.values.count[home].tolist() == [0, 0, 0]
    good = [home for home in range(30) if home not in plans.errors]
    np.testing.assert_array_equal(plans.cost[good], expected.cost[good])
    np.testing.assert_array_equal(plans.battery_kw[good], expected.battery_kw[good])


def test_a_home_without_a_feasible_plan_is_told_from_a_faulty_one() -> None:
    spoilt = _spoilt(random_problems(1, 6, 6), (2, "net_load_kw", 900.0), (4, "stored_kwh", np.nan))
    errors = solve_each(spoilt).errors
    assert set(errors) == {2, 4}
    assert isinstance(errors[2], Infeasible)
    assert not isinstance(errors[4], Infeasible)
    with pytest.raises(Infeasible, match="home 2"):
        solve(spoilt)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stored_kwh", np.nan), ("terminal_per_kwh", np.inf), ("batteries.wear_per_kwh", -1.0),
        ("batteries.floor_kwh", 99.0),
        ("batteries.discharge_efficiency_ratio", 1.01), ("batteries.least_charge_kw", -0.1), ("net_load_kw", -np.inf),
    ],
)  # fmt: skip
def test_the_first_thing_wrong_with_a_home_is_named(field: str, value: float) -> None:
    found = faults(_spoilt(random_problems(1, 5, 6), (2, field, value)))
    assert list(found) == [2]
    assert found[2].thing.startswith("home 2")
    assert field.rpartition(".")[2] in found[2].thing


def test_a_bad_device_is_named_with_its_home() -> None:
    problems = random_problems(1, 5, 6)
    cells = Batteries.of(2, capacity_kwh=[5, 5], charge_limit_kw=[1, -1], discharge_limit_kw=0.0)
    devices = Devices.of([0, 3], cells, stored_kwh=0.0)
    with pytest.raises(InvalidInput, match=r"home 3, device 1: charge_limit_kw is -1.0; must be 0 or more"):
        check_problems(dataclasses.replace(problems, devices=devices))
    lost = dataclasses.replace(devices, home=np.array([0, 9], np.int32))
    with pytest.raises(InvalidInput, match=r"devices.home is 9"):
        faults(dataclasses.replace(problems, devices=lost))


def test_what_concerns_all_homes_is_refused_for_all() -> None:
    problems = random_problems(1, 5, 6)
    for field, value in (("hours", 0.0), ("import_per_kwh", np.nan), ("coordination_per_kwh", np.inf)):
        column = getattr(problems, field).copy()
        column.flat[0] = value
        with pytest.raises(InvalidInput, match=field):
            solve_each(_with(problems, field, column))
    with pytest.raises(InvalidInput, match="tariff"):
        faults(dataclasses.replace(problems, tariff=np.full(5, 7, np.int32)))
    narrow = VaryingLimits.of(problems.batteries, 5)
    with pytest.raises(InvalidInput, match=r"shape of limits.charge_limit_kw"):
        faults(dataclasses.replace(problems, limits=narrow))


def test_prices_of_several_tariffs_need_to_be_told_which_home_has_which() -> None:
    def problems(tariff: list[int] | None) -> SiteProblems:
        cells = Batteries.of(2, capacity_kwh=10, charge_limit_kw=5, discharge_limit_kw=5)
        return SiteProblems.of(
            cells, np.ones((2, 3)), hours=1, import_per_kwh=[[0.1] * 3, [0.5] * 3], export_per_kwh=0, stored_kwh=2,
            tariff=tariff,
        )  # fmt: skip

    with pytest.raises(InvalidInput, match=r"tariff is 'none'; must say which of the 2"):
        problems(None)
    cheap, dear = solve_each(problems([0, 1])).cost
    assert cheap < dear


def test_rows_of_different_length_are_refused_by_name() -> None:
    cells = Batteries.of(2, capacity_kwh=10, charge_limit_kw=5, discharge_limit_kw=5)
    with pytest.raises(InvalidInput, match="net_load_kw"):
        SiteProblems.of(cells, [[1.0, 2.0], [1.0]], hours=1, import_per_kwh=0.1, export_per_kwh=0, stored_kwh=2)
