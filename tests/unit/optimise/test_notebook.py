"""What somebody in a notebook meets first: one import, columns from plain numbers, and errors that name the column."""

from __future__ import annotations

import dataclasses
import doctest

import numpy as np
import pytest

import powerflock.optimise
from powerflock.domain.errors import InvalidInput
from powerflock.optimise import Batteries, SiteProblems, solve
from powerflock.optimise.problem import Values


def _batteries() -> Batteries:
    return Batteries.of(2, capacity_kwh=10, charge_limit_kw=[3, 5], discharge_limit_kw=5.0, floor_kwh=1)


def _problems(net_load_kw: Values = ((1.0, 2.0, 0.0), (0.5, -2.0, 1.0)), tariff: Values = 0) -> SiteProblems:
    return SiteProblems.of(
        _batteries(), net_load_kw, hours=1, import_per_kwh=[0.2, 0.5, 0.3], export_per_kwh=0.05, stored_kwh=[2, 3],
        tariff=tariff,
    )  # fmt: skip


def test_the_packages_example_is_true() -> None:
    result = doctest.testmod(powerflock.optimise)
    assert result.attempted > 5
    assert result.failed == 0


def test_every_public_name_is_there() -> None:
    for name in powerflock.optimise.__all__:
        assert hasattr(powerflock.optimise, name)


def test_numbers_and_lists_become_columns() -> None:
    problems = _problems()
    assert problems.hours.tolist() == [1.0, 1.0, 1.0]
    assert problems.import_per_kwh.shape == problems.export_per_kwh.shape == (1, 3)
    assert problems.batteries.charge_limit_kw.tolist() == [3.0, 5.0]
    assert solve(problems).cost.shape == (2,)


def test_any_layout_and_type_of_array_gives_the_same_plan() -> None:
    odd = np.asfortranarray(np.array([[1, 2, 0], [1, -2, 1]], np.int16))
    plain = solve(_problems(((1.0, 2.0, 0.0), (1.0, -2.0, 1.0))))
    np.testing.assert_array_equal(solve(_problems(odd)).battery_kw, plain.battery_kw)


def test_the_problem_does_not_change_when_the_callers_array_does() -> None:
    load = np.ones((2, 3))
    problems = _problems(load)
    load[:] = 9.0
    assert (problems.net_load_kw == 1.0).all()


@pytest.mark.parametrize(
    ("net_load_kw", "tariff", "message"),
    [
        ([1.0, 2.0, 3.0], 0, "shape of net_load_kw"),
        ([["a", "b", "c"], ["d", "e", "f"]], 0, "net_load_kw"),
        ([[1.0, 2.0, 3.0]], 0, "stored_kwh"),
        ([[1.0, 2.0, 3.0]] * 2, 0.5, "tariff"),
        ([[1.0, 2.0, 3.0]] * 2, [0, 0, 0], "shape of tariff"),
    ],
)
def test_a_column_that_does_not_fit_is_named(net_load_kw: Values, tariff: Values, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _problems(net_load_kw, tariff)


def test_a_hand_made_column_of_another_type_is_refused_with_the_way_out() -> None:
    narrow = dataclasses.replace(_problems(), net_load_kw=np.ones((2, 3), np.float32))
    with pytest.raises(InvalidInput, match=r"dtype of net_load_kw.*float32"):
        solve(narrow)
