"""What is known of a site before any telemetry: its devices, limits, tariff and place in the network.

Passive signs: power and energy are positive into the site. Times of day are local half-hours, 48 a day. A spec holds
only what was there before it, never itself: the garbage collector need not look at the 100,000s of a partition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_device_name, check_site_id

SLOTS_PER_DAY = 48
MOST_DEVICES, MOST_GROUPS = 64, 16
KindName: TypeAlias = Literal["battery", "solar", "ev_charger", "load"]


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Energy prices by local half-hour, $/kWh: 48 values each; `import_per_kwh` ≥ `export_per_kwh` slot by slot."""

    name: str
    import_per_kwh: tuple[float, ...]
    export_per_kwh: tuple[float, ...]


class BatterySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A battery's nameplate and its owner's terms. Limits in use come from telemetry where it reports them."""

    capacity_kwh: float
    charge_limit_kw: float
    discharge_limit_kw: float
    charge_efficiency_ratio: float = 0.95
    discharge_efficiency_ratio: float = 0.95
    reserve_ratio: float = 0.2
    wear_per_kwh: float = 0.02


class DeviceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A device beyond a site's first battery, its roof and its meter. A battery has `battery`, the others `rated_kw`.

    `report_period_s` is how often it reports; 0 means as often as the gateway asks.
    """

    name: str
    kind: KindName
    battery: BatterySpec | None = None
    rated_kw: float = 0.0
    report_period_s: float = 0.0


class Nameplate(NamedTuple):
    """One device of a site as its column says it: limits are kW ≥ 0 into and out of it, 0 where it has none."""

    name: str
    kind: DeviceKind
    report_period_s: float
    capacity_kwh: float = 0.0
    charge_limit_kw: float = 0.0
    discharge_limit_kw: float = 0.0


class SiteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One site. `daily_load_kwh` and `solar_kw` shape its forecast until it has a history of its own.

    `battery` and `solar_kw` are its first battery and roof; `devices` are any more of them, car chargers and loads that
    can be switched. `path` names the groups between region and feeder, from the top; `sets` the groups that cut across.
    What may fail together: `gateway`, `provider` (of its link) and `firmware`; empty where not known.
    """

    site: str
    feeder: str
    region: str
    tariff: Tariff
    battery: BatterySpec | None = None
    solar_kw: float = 0.0
    daily_load_kwh: float = 12.0
    latitude: float = -37.8
    longitude: float = 145.0
    utc_offset_minutes: int = 600
    import_limit_kw: float = 100.0
    export_limit_kw: float = 100.0
    devices: tuple[DeviceSpec, ...] = ()
    report_period_s: float = 0.0
    path: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    gateway: str = ""
    provider: str = ""
    firmware: str = ""

    @property
    def storage(self) -> BatterySpec | None:
        """All the site's batteries as the one that its plan sees; None without any."""
        return _together([battery for _, battery in self._batteries()])

    @property
    def rated_solar_kw(self) -> float:
        """All the site's panels."""
        return self.solar_kw + sum(device.rated_kw for device in self.devices if device.kind == "solar")

    @property
    def device_count(self) -> int:
        """How many devices the site has: the length of its `nameplates`."""
        return (self.battery is not None) + (self.solar_kw > 0) + 1 + len(self.devices)

    def nameplates(self) -> list[Nameplate]:
        """The site's devices in the order of their numbers: battery, solar, meter, then `devices`."""
        every = self.report_period_s
        first = [_battery_plate("battery", self.battery, every)] if self.battery is not None else []
        if self.solar_kw > 0:
            first.append(Nameplate("solar", DeviceKind.SOLAR, every, 0.0, 0.0, self.solar_kw))
        first.append(Nameplate("meter", DeviceKind.METER, every))
        return first + [_plate(device) for device in self.devices]

    def _batteries(self) -> Iterator[tuple[str, BatterySpec]]:
        if self.battery is not None:
            yield "battery", self.battery
        for device in self.devices:
            if device.battery is not None:
                yield device.name, device.battery


def _battery_plate(name: str, battery: BatterySpec, report_period_s: float) -> Nameplate:
    limits = battery.charge_limit_kw, battery.discharge_limit_kw
    return Nameplate(name, DeviceKind.BATTERY, report_period_s, battery.capacity_kwh, *limits)


def _plate(device: DeviceSpec) -> Nameplate:
    if device.battery is not None:
        return _battery_plate(device.name, device.battery, device.report_period_s)
    kind = DeviceKind[device.kind.upper()]
    into, out = (0.0, device.rated_kw) if kind is DeviceKind.SOLAR else (device.rated_kw, 0.0)
    return Nameplate(device.name, kind, device.report_period_s, 0.0, into, out)


def _together(batteries: list[BatterySpec]) -> BatterySpec | None:
    """Batteries as one: sizes and limits added, ratios and wear weighted by capacity."""
    if len(batteries) <= 1:
        return batteries[0] if batteries else None
    capacity = sum(battery.capacity_kwh for battery in batteries)

    def weighted(name: str) -> float:
        return sum(float(getattr(battery, name)) * battery.capacity_kwh for battery in batteries) / capacity

    return BatterySpec(
        capacity,
        sum(battery.charge_limit_kw for battery in batteries),
        sum(battery.discharge_limit_kw for battery in batteries),
        *(weighted(name) for name in BatterySpec.__struct_fields__[3:]),
    )


def check_spec(spec: SiteSpec) -> SiteSpec:
    """The spec itself, or `InvalidInput` naming the site, the field, the value and its bound."""
    check_site_id(spec.site)
    bounds = [
        ("solar_kw", spec.solar_kw, 0.0, 1e5),
        ("daily_load_kwh", spec.daily_load_kwh, 0.0, 1e6),
        ("latitude", spec.latitude, -90.0, 90.0),
        ("longitude", spec.longitude, -180.0, 180.0),
        ("utc_offset_minutes", float(spec.utc_offset_minutes), -720.0, 840.0),
        ("import_limit_kw", spec.import_limit_kw, 0.0, 1e6),
        ("export_limit_kw", spec.export_limit_kw, 0.0, 1e6),
    ]
    bounds.append(("report_period_s", spec.report_period_s, 0.0, 86_400.0))
    for name, battery in spec._batteries():  # noqa: SLF001 - the check is the spec's own, apart from it to keep it short
        bounds += _battery_bounds(name, battery)
    for device in spec.devices:
        bounds += [
            (f"{device.name}.rated_kw", device.rated_kw, 0.0, 1e5),
            (f"{device.name}.report_period_s", device.report_period_s, 0.0, 86_400.0),
        ]
    for field, value, low, high in bounds:
        if not low <= value <= high:
            raise InvalidInput(f"site {spec.site}: {field}", value, f"must lie between {low:g} and {high:g}")
    if spec.utc_offset_minutes % 30:
        raise InvalidInput(
            f"site {spec.site}: utc_offset_minutes", spec.utc_offset_minutes, "must be a multiple of 30",
            "Tariffs go by local half-hours.",
        )  # fmt: skip
    _check_devices(spec)
    _check_groups(spec)
    _check_tariff(spec)
    return spec


def _battery_bounds(name: str, battery: BatterySpec) -> list[tuple[str, float, float, float]]:
    return [
        (f"{name}.capacity_kwh", battery.capacity_kwh, 1e-3, 1e6),
        (f"{name}.charge_limit_kw", battery.charge_limit_kw, 0.0, 1e5),
        (f"{name}.discharge_limit_kw", battery.discharge_limit_kw, 0.0, 1e5),
        (f"{name}.charge_efficiency_ratio", battery.charge_efficiency_ratio, 0.1, 1.0),
        (f"{name}.discharge_efficiency_ratio", battery.discharge_efficiency_ratio, 0.1, 1.0),
        (f"{name}.reserve_ratio", battery.reserve_ratio, 0.0, 1.0),
        (f"{name}.wear_per_kwh", battery.wear_per_kwh, 0.0, 10.0),
    ]


def _check_devices(spec: SiteSpec) -> None:
    names = {"battery", "solar", "meter"}
    if len(spec.devices) > MOST_DEVICES:
        raise InvalidInput(f"site {spec.site}: devices", len(spec.devices), f"must be at most {MOST_DEVICES}")
    for device in spec.devices:
        check_device_name(device.name)
        if device.name in names:
            raise InvalidInput(
                f"site {spec.site}: device name", device.name, "must not be taken already",
                "battery, solar and meter name the site's first ones.",
            )  # fmt: skip
        names.add(device.name)
        if (device.battery is not None) != (device.kind == "battery"):
            bound = "must have `battery` if and only if it is one"
            raise InvalidInput(f"site {spec.site}: {device.name}.kind", device.kind, bound)


def _check_groups(spec: SiteSpec) -> None:
    for field, names in (("path", spec.path), ("sets", spec.sets)):
        if len(names) > MOST_GROUPS:
            raise InvalidInput(f"site {spec.site}: {field}", len(names), f"must hold at most {MOST_GROUPS}")
    for field, name in (
        ("region", spec.region), ("feeder", spec.feeder), *(("path", name) for name in spec.path),
        *(("sets", name) for name in spec.sets),
    ):  # fmt: skip
        if not 1 <= len(name) <= 64:
            raise InvalidInput(f"site {spec.site}: {field}", name, "must be 1 to 64 characters")
    if len(set(spec.sets)) != len(spec.sets):
        raise InvalidInput(f"site {spec.site}: sets", spec.sets, "must name each set once")


def _check_tariff(spec: SiteSpec) -> None:
    for field, prices in (("import", spec.tariff.import_per_kwh), ("export", spec.tariff.export_per_kwh)):
        name = f"site {spec.site}: tariff.{field}_per_kwh"
        if len(prices) != SLOTS_PER_DAY:
            raise InvalidInput(f"{name} length", len(prices), f"must be {SLOTS_PER_DAY}, one per local half-hour")
        bad = next((price for price in prices if not math.isfinite(price)), None)
        if bad is not None:
            raise InvalidInput(name, bad, "every price must be finite")
    for slot, (buy, sell) in enumerate(zip(spec.tariff.import_per_kwh, spec.tariff.export_per_kwh, strict=True)):
        if sell > buy:
            raise InvalidInput(
                f"site {spec.site}: tariff.export_per_kwh in half-hour {slot}",
                sell,
                f"must not exceed the import price {buy:g}",
                "Such a tariff is not convex and this version does not plan for it.",
            )
    battery = spec.storage
    lowest = -math.inf if battery is None else _lowest_export_per_kwh(battery)
    worst = min(spec.tariff.export_per_kwh)
    if worst < lowest:
        raise InvalidInput(
            f"site {spec.site}: tariff.export_per_kwh", worst,
            f"must be at least {lowest + 0.0:.4g} with this battery, or losing energy in it would pay",
            "Such a tariff is not convex and this version does not plan for it; a wear_per_kwh above 0 allows more.",
        )  # fmt: skip


def _lowest_export_per_kwh(battery: BatterySpec) -> float:
    """The export price below which charging and discharging at once would pay, $/kWh."""
    into, out = battery.charge_efficiency_ratio, battery.discharge_efficiency_ratio
    spread = 1.0 / into - out
    return -battery.wear_per_kwh * (1.0 / into + out) / spread if spread > 0.0 else -math.inf
