"""A made-up fleet as columns, for the benchmarks: two and a half devices a site, as homes have them, and readings."""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import F64, U8, Bools, Records
from powerflock.domain.columns import TELEMETRY, DeviceKind
from powerflock.domain.registry import TABLE_COLUMNS, Place, SiteTable
from powerflock.domain.site_columns import TableColumn
from powerflock.twins.columns import Shard

NOW_US = 1_770_000_000_000_000
FEEDERS, SUBSTATIONS, REGIONS, PROVIDERS, FIRMWARES, GATEWAYS = 2_000, 100, 8, 3, 4, 4
SHARES = {
    DeviceKind.BATTERY: 0.7,
    DeviceKind.SOLAR: 0.6,
    DeviceKind.METER: 1.0,
    DeviceKind.EV_CHARGER: 0.15,
    DeviceKind.LOAD: 0.05,
}
"""How many sites have such a device."""


def table(sites: int, seed: int = 3) -> SiteTable:
    """Every site a meter, others as in `SHARES`; in feeders of substations of regions, with all that may fail."""
    rng = np.random.default_rng(seed)
    has: Bools = rng.uniform(size=(sites, len(SHARES))) < np.array([SHARES[kind] for kind in DeviceKind])
    number = np.cumsum(has.ravel()).reshape(has.shape) - 1
    site, kind = np.nonzero(has)
    battery = has[:, DeviceKind.BATTERY]
    packs, chargers = kind == DeviceKind.BATTERY, kind == DeviceKind.EV_CHARGER
    columns: dict[str, TableColumn] = {name: np.zeros(sites, dtype) for name, dtype in TABLE_COLUMNS.items()}
    columns |= {
        "device_site": site.astype(np.int32),
        "device_kind": kind.astype(np.uint8),
        "device_period_s": np.zeros(site.size, np.float32),
        "device_capacity_kwh": np.where(packs, 13.5, 0.0).astype(np.float32),
        "device_charge_limit_kw": np.where(packs, 5.0, np.where(chargers, 7.4, 0.0)).astype(np.float32),
        "device_discharge_limit_kw": np.where(packs, 5.0, 0.0).astype(np.float32),
        "first_device": (number[:, -1] - has.sum(axis=1) + 1).astype(np.int32),
        "meter_device": number[:, DeviceKind.METER].astype(np.int32),
        "capacity_kwh": np.where(battery, 13.5, 0.0),
        "charge_limit_kw": np.where(battery, 5.0, 0.0),
        "discharge_limit_kw": np.where(battery, 5.0, 0.0),
        "reserve_kwh": np.where(battery, 2.7, 0.0),
    }
    for name in ("charge_efficiency_ratio", "discharge_efficiency_ratio"):
        columns[name] = np.full(sites, 0.95)
    columns["import_limit_kw"] = columns["export_limit_kw"] = np.full(sites, 14.0)
    places, place = memberships(sites, rng)
    columns["place"] = place
    return SiteTable.of(columns, places)


def memberships(sites: int, rng: np.random.Generator) -> tuple[list[Place], TableColumn]:
    """Each site's feeder, provider, firmware and gateway, and for one in ten the set `trial`."""
    feeder = rng.integers(0, FEEDERS, sites)
    provider, firmware = rng.integers(0, PROVIDERS, sites), rng.integers(0, FIRMWARES, sites)
    gateway, trial = rng.integers(0, GATEWAYS, sites), rng.uniform(size=sites) < 0.1
    key = (((feeder * PROVIDERS + provider) * FIRMWARES + firmware) * GATEWAYS + gateway) * 2 + trial
    found, place = np.unique(key, return_inverse=True)
    places = []
    for code in found.tolist():
        rest, in_trial = divmod(code, 2)
        rest, at_gateway = divmod(rest, GATEWAYS)
        rest, runs = divmod(rest, FIRMWARES)
        own, carrier = divmod(rest, PROVIDERS)
        substation = own % SUBSTATIONS
        places.append(
            Place(
                f"R{substation % REGIONS}",
                f"F{own}",
                (f"S{substation}",),
                ("trial",) if in_trial else (),
                f"gateway-{at_gateway}",
                f"provider-{carrier}",
                f"firmware-{runs}",
            )
        )
    return places, place.astype(np.int32)


def fleet(sites: int, seed: int = 3) -> Shard:
    """A shard of that table, all of whose devices have reported."""
    rng, shard = np.random.default_rng(seed + 1), Shard.of(table(sites, seed))
    shard.devices["seq"], shard.devices["time_us"] = 1, NOW_US
    shard.devices["power_kw"] = powers_kw(shard.table.device_kind, rng)
    shard.devices["energy_kwh"] = rng.uniform(3.0, 13.0, shard.devices.size)
    return shard


def readings(of: SiteTable, seed: int = 1) -> Records:
    """(D,) one reading of each device of the table, in random order, with sequence number 2."""
    rng = np.random.default_rng(seed)
    rows: Records = np.zeros(of.devices, TELEMETRY)
    rows["device"] = rng.permutation(of.devices)
    kinds = of.device_kind[rows["device"]]
    rows["seq"], rows["time_us"], rows["received_us"] = 2, NOW_US, NOW_US
    rows["power_kw"] = powers_kw(kinds, rng)
    rows["energy_kwh"] = rng.uniform(3.0, 13.0, of.devices)
    for column, value in (("charge_limit_kw", 5.0), ("discharge_limit_kw", 5.0), ("capacity_kwh", 13.5)):
        rows[column] = np.where(kinds == DeviceKind.BATTERY, value, np.nan)
    return rows


def powers_kw(kinds: U8, rng: np.random.Generator) -> F64:
    """(N,) a power that each device may have: sun flows out, charging cars and loads take."""
    power = rng.normal(0.0, 1.0, kinds.size)
    power = np.where(kinds == DeviceKind.SOLAR, -np.abs(power), power)
    return np.asarray(np.where(kinds >= DeviceKind.EV_CHARGER, np.abs(power), power))
