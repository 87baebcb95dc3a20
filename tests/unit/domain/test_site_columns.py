"""A partition's columns say of each device what its site's nameplates say."""

from __future__ import annotations

import numpy as np

from powerflock.domain.site import BatterySpec, DeviceSpec, SiteSpec, Tariff
from powerflock.domain.site_columns import SPEC_COLUMNS, device_columns, spec_columns
from powerflock.sim.homes import generate

_FLAT = Tariff("flat", (0.3,) * 48, (0.05,) * 48)
_CELL = BatterySpec(10.0, 4.0, 5.0)
_MANY = (
    DeviceSpec("garage", "battery", BatterySpec(30.0, 8.0, 9.0, 0.9, 0.8, 0.5)),
    DeviceSpec("shed", "solar", rated_kw=2.5, report_period_s=60.0),
    DeviceSpec("car", "ev_charger", rated_kw=7.0),
    DeviceSpec("pool", "load", rated_kw=1.1),
)


def _specs() -> list[SiteSpec]:
    own = [
        SiteSpec("meter-only", "F", "R", _FLAT),
        SiteSpec("roof", "F", "R", _FLAT, solar_kw=6.0, report_period_s=5.0),
        SiteSpec("all", "F", "R", _FLAT, _CELL, solar_kw=3.0, devices=_MANY, report_period_s=2.0),
        SiteSpec("cells", "F", "R", _FLAT, _CELL, devices=_MANY[:1], import_limit_kw=7.0),
        SiteSpec("late-cell", "F", "R", _FLAT, devices=_MANY),
    ]
    return own + generate(50, 1, 1, 0).specs


def test_devices_are_those_of_the_nameplates_one_by_one() -> None:
    specs = _specs()
    found = device_columns(specs)
    plates = [
        (row, place, *plate[1:]) for row, spec in enumerate(specs) for place, plate in enumerate(spec.nameplates())
    ]
    told = np.column_stack((found.spec, found.place, *found.columns.values()))
    assert np.array_equal(told, np.array(plates, np.float32))


def test_a_sites_batteries_count_as_one_and_none_as_nothing() -> None:
    columns = spec_columns(_specs())
    assert list(columns) == list(SPEC_COLUMNS)
    assert [columns["capacity_kwh"][row] for row in range(5)] == [0.0, 0.0, 40.0, 40.0, 30.0]
    assert columns["charge_limit_kw"][2] == 12.0
    assert columns["reserve_kwh"].tolist()[2:5] == [0.2 * 10.0 + 0.5 * 30.0, 17.0, 15.0]
    assert columns["charge_efficiency_ratio"].tolist()[:2] == [1.0, 1.0]
    assert columns["import_limit_kw"].tolist()[:4] == [100.0, 100.0, 100.0, 7.0]


def test_nothing_enrolled_is_no_row() -> None:
    assert device_columns([]).spec.size == 0
    assert all(column.size == 0 for column in spec_columns([]).values())
