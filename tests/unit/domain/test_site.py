"""A site's spec is checked field by field before anything is planned for it."""

from __future__ import annotations

import math

import msgspec
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import BatterySpec, DeviceSpec, SiteSpec, Tariff, check_spec

FLAT = Tariff("flat", (0.3,) * 48, (0.05,) * 48)
GOOD = SiteSpec("home-1", "feeder-1", "VIC1", FLAT, BatterySpec(10.0, 5.0, 5.0), solar_kw=5.0)


def test_a_good_spec_passes_and_survives_json() -> None:
    assert check_spec(GOOD) is GOOD
    assert msgspec.json.decode(msgspec.json.encode(GOOD), type=SiteSpec) == GOOD


@pytest.mark.parametrize("battery", [None, BatterySpec(10.0, 5.0, 5.0)])
@pytest.mark.parametrize("solar_kw", [0.0, 5.0])
@pytest.mark.parametrize("devices", [(), (DeviceSpec("car", "ev_charger", rated_kw=7.4),)])
def test_a_site_counts_its_devices_as_its_nameplates_do(
    battery: BatterySpec | None, solar_kw: float, devices: tuple[DeviceSpec, ...]
) -> None:
    spec = SiteSpec("home-1", "feeder-1", "VIC1", FLAT, battery, solar_kw, devices=devices)
    assert spec.device_count == len(spec.nameplates())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("site", "no spaces"),
        ("solar_kw", -1.0),
        ("daily_load_kwh", math.nan),
        ("latitude", 91.0),
        ("longitude", -181.0),
        ("utc_offset_minutes", 900),
        ("utc_offset_minutes", 345),
        ("import_limit_kw", -0.1),
        ("export_limit_kw", math.inf),
    ],
)
def test_a_field_out_of_bounds_is_named_with_its_value(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=field.replace("site", "site id")) as refused:
        check_spec(msgspec.structs.replace(GOOD, **{field: value}))
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity_kwh", 0.0),
        ("charge_limit_kw", -1.0),
        ("discharge_limit_kw", math.nan),
        ("charge_efficiency_ratio", 1.01),
        ("discharge_efficiency_ratio", 0.0),
        ("reserve_ratio", 20.0),
        ("wear_per_kwh", -0.01),
    ],
)
def test_a_batterys_field_out_of_bounds_is_named(field: str, value: float) -> None:
    assert GOOD.battery is not None
    battery = msgspec.structs.replace(GOOD.battery, **{field: value})
    with pytest.raises(InvalidInput, match=rf"site home-1: battery\.{field}"):
        check_spec(msgspec.structs.replace(GOOD, battery=battery))


def test_a_tariff_needs_48_finite_prices_and_no_export_above_import() -> None:
    short = Tariff("short", (0.3,) * 47, (0.05,) * 48)
    hole = Tariff("hole", (0.3,) * 48, (0.05,) * 47 + (math.nan,))
    upside_down = Tariff("upside down", (0.3,) * 48, (0.05,) * 10 + (0.31,) + (0.05,) * 37)
    for tariff, text in ((short, "length is 47"), (hole, "must be finite"), (upside_down, "half-hour 10")):
        with pytest.raises(InvalidInput, match=text):
            check_spec(msgspec.structs.replace(GOOD, tariff=tariff))


@pytest.mark.parametrize(("wear", "lowest"), [(0.02, -0.3903), (0.0, 0.0)])
def test_a_tariff_that_cannot_be_planned_for_is_refused_before_it_stops_a_plant(wear: float, lowest: float) -> None:
    assert GOOD.battery is not None
    battery = msgspec.structs.replace(GOOD.battery, wear_per_kwh=wear)

    def spec(export: float) -> SiteSpec:
        return msgspec.structs.replace(GOOD, battery=battery, tariff=Tariff("levy", (0.3,) * 48, (export,) * 48))

    check_spec(spec(lowest + 1e-4))
    with pytest.raises(InvalidInput, match=r"site home-1: tariff\.export_per_kwh is .* at least .* with this battery"):
        check_spec(spec(lowest - 1e-4))
    check_spec(msgspec.structs.replace(spec(lowest - 1.0), battery=None))
