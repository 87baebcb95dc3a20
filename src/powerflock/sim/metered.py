"""Turns metered energy of real homes into specs and 5-minute profiles, with stated defaults for what meters don't know.

Invariants: energy is kept exactly (an interval's kWh spread evenly over its 5-minute steps); load and generation come
in as metered (≥ 0, or a signed net load) and leave passive. Must not know file formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_S
from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import BatterySpec, SiteSpec, Tariff, check_spec
from powerflock.sim.catalogue import HOMES_PER_FEEDER, TARIFFS
from powerflock.sim.profiles import STEP_US, Fleet, Profiles

MINUTE_US = 60 * MICROS_PER_S
DEFAULT_BATTERY = BatterySpec(13.5, 5.0, 5.0)


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a home's meter data does not say; None takes the default that docs/homes-file.md states."""

    feeder: str | None = None
    region: str | None = None
    solar_kw: float | None = None
    battery_kwh: float | None = None
    battery_charge_kw: float | None = None
    battery_discharge_kw: float | None = None
    battery_reserve_ratio: float | None = None
    tariff: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    utc_offset_minutes: int | None = None
    import_limit_kw: float | None = None
    export_limit_kw: float | None = None


@dataclass(frozen=True, slots=True)
class Metered:
    """(S, N) kWh per interval of `step_us` from `start_us`; `solar_kwh` is generation, ≥ 0."""

    sites: Sequence[str]
    start_us: int
    step_us: int
    load_kwh: F64
    solar_kwh: F64


def fleet_of(metered: Metered, terms: Sequence[Terms], source: str) -> Fleet:
    """Homes with what the meters say and, for the rest, their terms; `InvalidInput` names what does not fit."""
    step_minutes = metered.step_us / MINUTE_US
    if metered.step_us % STEP_US or MICROS_PER_DAY % metered.step_us or metered.step_us > MICROS_PER_HOUR:
        raise InvalidInput(f"{source}: interval in minutes", step_minutes, "must be 5, 10, 15, 20, 30 or 60")
    span_us = metered.load_kwh.shape[1] * metered.step_us
    if span_us % MICROS_PER_DAY:
        days = span_us / MICROS_PER_DAY
        raise InvalidInput(f"{source}: span in days", days, "must be whole days", "Cut or extend it to whole days.")
    hours, repeats = metered.step_us / MICROS_PER_HOUR, metered.step_us // STEP_US
    load_kw, solar_kw = metered.load_kwh / hours, metered.solar_kwh / hours
    specs = [
        _spec(site, index, terms[index], float(load_kw[index].mean()) * 24.0, float(solar_kw[index].max()))
        for index, site in enumerate(metered.sites)
    ]
    load = np.repeat(load_kw, repeats, axis=1).astype(np.float32)
    return Fleet(
        specs, Profiles(metered.start_us, load, -np.repeat(solar_kw, repeats, axis=1).astype(np.float32)), source
    )


def _spec(site: str, index: int, terms: Terms, daily_kwh: float, solar_peak_kw: float) -> SiteSpec:
    """The site's spec; a solar size that was not given is the highest power seen."""
    solar_kw = solar_peak_kw if terms.solar_kw is None else terms.solar_kw
    if solar_kw == 0.0 < solar_peak_kw:
        raise InvalidInput(
            f"site {site}: solar_kw", 0.0, f"must be positive, for up to {solar_peak_kw:g} kW is metered"
        )
    spec = SiteSpec(
        site=site,
        feeder=terms.feeder or f"feeder-{index // HOMES_PER_FEEDER + 1:02d}",
        region=terms.region or "region-1",
        tariff=_tariff(site, terms.tariff),
        battery=_battery(terms),
        solar_kw=solar_kw,
        daily_load_kwh=max(daily_kwh, 0.0),
    )
    given = {
        name: value
        for name in ("latitude", "longitude", "utc_offset_minutes", "import_limit_kw", "export_limit_kw")
        if (value := getattr(terms, name)) is not None
    }
    return check_spec(msgspec.structs.replace(spec, **given))


def _battery(terms: Terms) -> BatterySpec | None:
    if terms.battery_kwh == 0.0:
        return None
    given = {
        "capacity_kwh": terms.battery_kwh,
        "charge_limit_kw": terms.battery_charge_kw,
        "discharge_limit_kw": terms.battery_discharge_kw,
        "reserve_ratio": terms.battery_reserve_ratio,
    }
    return msgspec.structs.replace(DEFAULT_BATTERY, **{k: v for k, v in given.items() if v is not None})


def _tariff(site: str, name: str | None) -> Tariff:
    if name is None:
        return TARIFFS[0]
    known = {tariff.name: tariff for tariff in TARIFFS}
    if name not in known:
        raise InvalidInput(f"site {site}: tariff", name, f"must be one of {', '.join(known)}")
    return known[name]
