"""DER-VET's own CAISO case, a year of energy and regulation, comes out to the cent: total, each day, each component."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
import pytest

from powerflock.domain.arrays import F64, I32
from powerflock.optimise.linear import INFINITE, Programme
from powerflock.optimise.regulation import Hook, RegulationMarket, Storage, schedule_storage
from tests.data import data_file

UP_USE, DOWN_USE, EFFICIENCY = 0.3, 0.15, 0.85
STORAGE = Storage(
    charge_limit_kw=1000.0, discharge_limit_kw=1000.0, capacity_kwh=4000.0, charge_efficiency_ratio=EFFICIENCY,
    variable_per_kwh=0.002, stored_kwh=0.0, final_kwh=0.0,
)  # fmt: skip
COMPONENTS = ("energy", "regulation_up", "regulation_down", "settlement", "variable")
COLUMNS = ("DA", "FR_regup_prof", "FR_regdown_prof", "FR_energy_settlement", "4-hr li-ion var_om")
"""DER-VET's names for them; its fixed cost is the same each day and left out of the total."""


def prices() -> F64:
    """(366, 24, 3): energy in $/kWh, regulation up and down in $/kW, each hour labelled by its end."""
    with data_file("referees/dervet_caiso/timeseries.csv").open(encoding="utf-8") as file:
        rows = [[float(value) for value in row[1:]] for row in list(csv.reader(file))[1:]]
    return np.array(rows).reshape(-1, 24, 3)


def dervet() -> F64:
    """(366, 5) $: what DER-VET finds for each day and component."""
    with data_file("referees/dervet_caiso/objective_values.csv").open(encoding="utf-8") as file:
        return np.array([[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)])


def plan_days(extra: Hook | None) -> F64:
    """(366, 5) $ by day and component, each day for itself."""
    days = []
    for energy, up, down in prices().transpose(0, 2, 1):
        market = RegulationMarket.of(
            energy, up_per_kw_hour=up, down_per_kw_hour=down, up_use_ratio=UP_USE, down_use_ratio=DOWN_USE
        )
        plan = schedule_storage(STORAGE, market, extra=extra)
        days.append([getattr(plan, name).sum() for name in COMPONENTS])
    return np.array(days)


def no_gain_by_regulation(programme: Programme, names: Mapping[str, I32]) -> None:
    """DER-VET's own rule: what regulation uses may not, in a sum that counts the losses, charge the storage."""
    once, lossy = 2.0, 1.0 + EFFICIENCY
    programme.require(
        0.0, INFINITE,
        (names["up_discharge_kw"], once * UP_USE), (names["down_discharge_kw"], -once * DOWN_USE),
        (names["up_charge_kw"], lossy * UP_USE), (names["down_charge_kw"], -lossy * DOWN_USE),
    )  # fmt: skip


def test_a_year_of_energy_and_regulation_equals_dervet_day_by_day() -> None:
    ours, theirs = plan_days(no_gain_by_regulation), dervet()
    assert ours.sum() == pytest.approx(-177_621.63149126, rel=1e-9)
    np.testing.assert_allclose(ours.sum(axis=1), theirs.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(ours.sum(axis=0), theirs.sum(axis=0), rtol=1e-6)


def test_without_dervets_own_rule_a_storage_earns_what_physics_allows() -> None:
    assert plan_days(None).sum() == pytest.approx(-183_395.25, abs=0.005)
