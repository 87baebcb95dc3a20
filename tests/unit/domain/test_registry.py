"""The registry numbers sites and devices the same way for ever."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput, NotFound
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Status
from powerflock.domain.registry import ABSENT, TABLE_COLUMNS, Place, Registry, SiteAddress
from powerflock.domain.site import BatterySpec, DeviceSpec, SiteSpec, Tariff

FLAT = Tariff("flat", (0.3,) * 48, (0.05,) * 48)
BATTERY = BatterySpec(10.0, 5.0, 4.0)


SECOND = DeviceSpec("battery-2", "battery", BatterySpec(20.0, 10.0, 8.0, reserve_ratio=0.5))
CAR = DeviceSpec("car", "ev_charger", rated_kw=7.4, report_period_s=60.0)
BOILER = DeviceSpec("boiler", "load", rated_kw=3.6)


def home(
    site: str, *, battery: bool = True, solar_kw: float = 5.0, feeder: str = "f1", region: str = "VIC1"
) -> SiteSpec:
    tariff = Tariff(FLAT.name, FLAT.import_per_kwh, FLAT.export_per_kwh)
    return SiteSpec(site, feeder, "VIC1", tariff, BATTERY if battery else None, solar_kw)


def test_devices_are_numbered_in_the_order_of_enrolment_battery_solar_meter() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a"), home("b", battery=False, solar_kw=0.0)])
    enrolment = registry.enrol(0, [home("c", solar_kw=0.0)])
    table = registry.table(0)
    assert enrolment.added.tolist() == [2]
    assert table.first_of(DeviceKind.BATTERY).tolist() == [0, ABSENT, 4]
    assert table.first_of(DeviceKind.SOLAR).tolist() == [1, ABSENT, ABSENT]
    assert table.meter_device.tolist() == [2, 3, 5]
    assert table.device_site.tolist() == [0, 0, 0, 1, 2, 2]
    assert table.device_kind.tolist() == [0, 1, 2, 2, 0, 2]
    assert registry.resolve("c") == SiteAddress(0, 2, {"battery": 4, "meter": 5})


def test_specs_become_columns_with_zero_where_there_is_no_battery() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a"), home("b", battery=False)])
    table = registry.table(0)
    assert table.capacity_kwh.tolist() == [10.0, 0.0]
    assert table.discharge_limit_kw.tolist() == [4.0, 0.0]
    assert table.reserve_kwh.tolist() == [2.0, 0.0]
    assert {name: getattr(table, name).dtype.str for name in TABLE_COLUMNS} == TABLE_COLUMNS


def test_enrolling_an_equal_spec_again_changes_nothing() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a")])
    before = registry.table(0)
    again = registry.enrol(0, [home("a")])
    assert again.outcome.status is Status.APPLIED
    assert again.added.size == again.updated.size == 0
    assert registry.table(0) is before


def test_a_changed_spec_updates_its_row_and_leaves_earlier_tables_alone() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a"), home("b")])
    before = registry.table(0)
    bigger = msgspec.structs.replace(
        home("a", feeder="f2"), battery=msgspec.structs.replace(BATTERY, capacity_kwh=20.0)
    )
    assert registry.enrol(0, [bigger]).updated.tolist() == [0]
    assert registry.table(0).capacity_kwh.tolist() == [20.0, 10.0]
    assert registry.table(0).places == (Place("VIC1", "f1"), Place("VIC1", "f2"))
    assert registry.table(0).place.tolist() == [1, 0]
    assert before.capacity_kwh.tolist() == [10.0, 10.0]
    assert registry.spec("a") == bigger


def test_a_home_may_have_any_devices_and_get_more_later_without_moving_the_others() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [msgspec.structs.replace(home("a"), devices=(CAR,)), home("b")])
    grown = msgspec.structs.replace(home("a"), devices=(CAR, SECOND))
    assert registry.enrol(0, [grown]).updated.tolist() == [0]
    address = registry.resolve("a")
    assert address is not None
    assert address.devices == {"battery": 0, "solar": 1, "meter": 2, "car": 3, "battery-2": 7}
    table = registry.table(0)
    assert table.device_site.tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    assert table.device_kind.tolist() == [0, 1, 2, 3, 0, 1, 2, 0]
    assert table.device_period_s[3] == 60.0
    assert (table.device_capacity_kwh[7], table.device_charge_limit_kw[3]) == (20.0, np.float32(7.4))
    assert (table.capacity_kwh[0], table.charge_limit_kw[0], table.discharge_limit_kw[0]) == (30.0, 15.0, 12.0)
    assert table.reserve_kwh[0] == pytest.approx(12.0)
    fewer = registry.enrol(0, [home("a")]).outcome
    assert "add devices after the others" in fewer.reasons["a"]


def test_a_known_device_with_another_nameplate_changes_in_its_place() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [msgspec.structs.replace(home("a"), devices=(CAR,)), home("b")])
    faster = msgspec.structs.replace(CAR, rated_kw=22.0)
    registry.enrol(0, [msgspec.structs.replace(home("a"), devices=(faster,))])
    assert registry.table(0).device_charge_limit_kw.tolist()[3] == 22.0
    assert registry.table(0).devices == 7


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ((DeviceSpec("meter", "load", rated_kw=1.0),), "must not be taken already"),
        ((CAR, CAR), "must not be taken already"),
        ((DeviceSpec("spa", "battery"),), "if and only if"),
        ((DeviceSpec("", "load"),), "device name is ''"),
        ((DeviceSpec("spa", "load", rated_kw=-1.0),), "spa.rated_kw is -1.0"),
    ],
)
def test_a_device_that_makes_no_sense_is_refused_by_name(devices: tuple[DeviceSpec, ...], reason: str) -> None:
    registry = Registry.empty(1)
    outcome = registry.enrol(0, [msgspec.structs.replace(home("a"), devices=devices)]).outcome
    assert reason in outcome.reasons["a"]


def test_a_place_tells_groups_and_what_fails_together() -> None:
    registry = Registry.empty(1)
    spec = msgspec.structs.replace(home("a"), path=("north",), sets=("trial",), provider="telco", firmware="2.1")
    registry.enrol(0, [spec, home("b")])
    assert registry.table(0).places[0] == Place("VIC1", "f1", ("north",), ("trial",), "", "telco", "2.1")


def test_bad_specs_are_refused_by_name_and_the_others_applied() -> None:
    registry = Registry.empty(2)
    mine = next(name for name in ("a", "b", "c", "d") if partition_of(name, 2) == 0)
    other = next(name for name in ("a", "b", "c", "d") if partition_of(name, 2) == 1)
    registry.enrol(0, [home(mine)])
    broken = msgspec.structs.replace(home("bad"), import_limit_kw=-1.0)
    outcome = registry.enrol(0, [home(mine, battery=False), home(other), broken]).outcome
    assert outcome.status is Status.REFUSED
    assert "can't change to solar, meter" in outcome.reasons[mine]
    assert "belongs to partition 1 of 2" in outcome.reasons[other]
    assert "import_limit_kw is -1.0" in outcome.reasons["bad"]
    assert registry.sites == 1


def test_the_same_events_give_the_same_tables_however_they_are_batched() -> None:
    specs = [home(f"s{i}", battery=i % 3 > 0, solar_kw=float(i % 2), feeder=f"f{i % 4}") for i in range(20)]
    specs.append(home("s5", solar_kw=1.0, feeder="elsewhere"))
    specs.insert(8, msgspec.structs.replace(home("s5", solar_kw=1.0, feeder="f1"), devices=(SECOND, CAR)))
    specs[-1] = msgspec.structs.replace(specs[-1], devices=(SECOND, CAR, BOILER))
    at_once, one_by_one = Registry.empty(1), Registry.empty(1)
    at_once.enrol(0, specs)
    for spec in specs:
        one_by_one.enrol(0, [spec])
    for name in TABLE_COLUMNS:
        if name != "place":
            np.testing.assert_array_equal(getattr(at_once.table(0), name), getattr(one_by_one.table(0), name))
    assert at_once.resolve("s5") == one_by_one.resolve("s5")
    for table in (at_once.table(0), one_by_one.table(0)):
        assert [table.places[i].feeder for i in table.place] == [spec.feeder for spec in at_once.specs(0)]


def test_homes_on_one_tariff_share_it() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a"), home("b")])
    assert registry.spec("a").tariff is registry.spec("b").tariff


def test_unknown_names_and_partitions_are_named() -> None:
    registry = Registry.empty(1)
    assert registry.resolve("nobody") is None
    with pytest.raises(NotFound, match="nobody"):
        registry.spec("nobody")
    with pytest.raises(InvalidInput, match="partition is 3"):
        registry.table(3)
    with pytest.raises(InvalidInput, match="partitions is 0"):
        Registry(0)
