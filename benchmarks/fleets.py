"""A made-up fleet as columns, for the benchmarks: two and a half devices a site, as homes have them."""

from __future__ import annotations

import numpy as np

from powerflock.domain.arrays import Bools
from powerflock.domain.columns import DeviceKind
from powerflock.domain.registry import TABLE_COLUMNS, Place, SiteTable
from powerflock.domain.site_columns import TableColumn
from powerflock.twins.columns import Shard

NOW_US = 1_770_000_000_000_000
FEEDERS, SUBSTATIONS, REGIONS, PROVIDERS, FIRMWARES, GATEWAYS = 2_000, 100, 8, 3, 4, 4
BATTERY_SHARE, SOLAR_SHARE = 0.8, 0.7


def table(sites: int, seed: int = 3) -> SiteTable:
    """Every site a meter, 80 % a battery, 70 % a roof; in feeders of substations of regions, with all that may fail."""
    rng = np.random.default_rng(seed)
    has: Bools = np.ones((sites, 3), np.bool_)
    has[:, DeviceKind.BATTERY] = rng.uniform(size=sites) < BATTERY_SHARE
    has[:, DeviceKind.SOLAR] = rng.uniform(size=sites) < SOLAR_SHARE
    number = np.cumsum(has.ravel()).reshape(has.shape) - 1
    site, kind = np.nonzero(has)
    battery = has[:, DeviceKind.BATTERY]
    packs = kind == DeviceKind.BATTERY
    columns: dict[str, TableColumn] = {name: np.zeros(sites, dtype) for name, dtype in TABLE_COLUMNS.items()}
    columns |= {
        "device_site": site.astype(np.int32),
        "device_kind": kind.astype(np.uint8),
        "device_period_s": np.zeros(site.size, np.float32),
        "device_capacity_kwh": np.where(packs, 13.5, 0.0).astype(np.float32),
        "device_charge_limit_kw": np.where(packs, 5.0, 0.0).astype(np.float32),
        "device_discharge_limit_kw": np.where(packs, 5.0, 0.0).astype(np.float32),
        "first_device": (number[:, 2] - has.sum(axis=1) + 1).astype(np.int32),
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
    shard.devices["power_kw"] = rng.normal(0.0, 1.0, shard.devices.size)
    shard.devices["energy_kwh"] = rng.uniform(3.0, 13.0, shard.devices.size)
    return shard
