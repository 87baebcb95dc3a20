"""What is known of a site before any telemetry: its devices, limits, tariff and place in the network.

Passive signs: power and energy are positive into the site. Times of day are local half-hours, 48 a day.
"""

from __future__ import annotations

import math

import msgspec

from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_site_id

SLOTS_PER_DAY = 48


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy prices by local half-hour, $/kWh: 48 values each; `import_per_kwh` ≥ `export_per_kwh` slot by slot."""

    name: str
    import_per_kwh: tuple[float, ...]
    export_per_kwh: tuple[float, ...]


class BatterySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A battery's nameplate and its owner's terms. Limits in use come from telemetry where it reports them."""

    capacity_kwh: float
    charge_limit_kw: float
    discharge_limit_kw: float
    charge_efficiency_ratio: float = 0.95
    discharge_efficiency_ratio: float = 0.95
    reserve_ratio: float = 0.2
    wear_per_kwh: float = 0.02


class SiteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One site. `daily_load_kwh` and `solar_kw` shape its forecast until it has a history of its own."""

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
    if spec.battery is not None:
        battery = spec.battery
        bounds += [
            ("battery.capacity_kwh", battery.capacity_kwh, 1e-3, 1e6),
            ("battery.charge_limit_kw", battery.charge_limit_kw, 0.0, 1e5),
            ("battery.discharge_limit_kw", battery.discharge_limit_kw, 0.0, 1e5),
            ("battery.charge_efficiency_ratio", battery.charge_efficiency_ratio, 0.1, 1.0),
            ("battery.discharge_efficiency_ratio", battery.discharge_efficiency_ratio, 0.1, 1.0),
            ("battery.reserve_ratio", battery.reserve_ratio, 0.0, 1.0),
            ("battery.wear_per_kwh", battery.wear_per_kwh, 0.0, 10.0),
        ]
    for field, value, low, high in bounds:
        if not low <= value <= high:
            raise InvalidInput(f"site {spec.site}: {field}", value, f"must lie between {low:g} and {high:g}")
    if spec.utc_offset_minutes % 30:
        raise InvalidInput(
            f"site {spec.site}: utc_offset_minutes", spec.utc_offset_minutes, "must be a multiple of 30",
            "Tariffs go by local half-hours.",
        )  # fmt: skip
    _check_tariff(spec)
    return spec


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
    battery = spec.battery
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
