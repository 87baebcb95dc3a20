"""Curves up: sites' offers for the interval at hand and for the next, summed to the feeders and the portfolio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.dispatch.allocate import portfolio_curve
from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.groups.curves import CurveTable, add_curves, curve_table
from powerflock.groups.firm import ZERO, firm_curves
from powerflock.groups.hierarchy import PORTFOLIO, Hierarchy, Level
from powerflock.market.bids import Bid, bid_from_curve
from powerflock.optimise.respond import stored_change
from powerflock.plant.model import RingSettings
from powerflock.plant.outlook import Outlook
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.plant.terms import batteries
from powerflock.twins.estimate import SiteColumns

_NO_SITES = np.zeros((0, PRICE_GRID.size))


def offers_now(
    shards: Sequence[SiteShard], columns: Sequence[SiteColumns], outlook: Outlook, now_us: int, interval_us: int
) -> list[F64]:
    """Each partition's (S, 41) net kW for what is left of the interval that holds `now_us`."""
    interval = now_us // interval_us
    hours = max((interval + 1) * interval_us - now_us, MICROS_PER_S) / MICROS_PER_HOUR
    return [
        shard.offer(own, interval, now_us, hours, outlook.nowcast(part, now_us, now_us, own), own.stored_kwh)
        if shard.sites
        else _NO_SITES
        for part, (shard, own) in enumerate(zip(shards, columns, strict=True))
    ]


def offers_next(
    shards: Sequence[SiteShard], columns: Sequence[SiteColumns], outlook: Outlook, now_us: int, interval_us: int
) -> list[F64]:
    """Each partition's (S, 41) net kW for the whole next interval, from where batteries will stand at its start."""
    interval = now_us // interval_us + 1
    start, length = interval * interval_us, interval_us / MICROS_PER_HOUR
    left = (start - now_us) / MICROS_PER_HOUR
    curves = []
    for part, (shard, own) in enumerate(zip(shards, columns, strict=True)):
        if not shard.sites:
            curves.append(_NO_SITES)
            continue
        load = outlook.nowcast(part, now_us, start, own)
        cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(load))
        told = np.where(np.isnan(shard.setpoint_kw), own.meter_kw, shard.setpoint_kw)
        battery = np.clip(told - own.net_load_kw, -own.discharge_limit_kw, own.charge_limit_kw)
        stored = own.stored_kwh + stored_change(cells, battery, left)
        stored = np.clip(stored, np.minimum(cells.floor_kwh, own.stored_kwh), cells.capacity_kwh)
        curves.append(shard.offer(own, interval, start, length, load, stored))
    return curves


def group_curves(hierarchy: Hierarchy, curves: Sequence[F64]) -> CurveTable:
    """All groups' curves over all partitions; what is unknown is left out (and shows in the coverage)."""
    return add_curves([curve_table(hierarchy, own, part) for part, own in enumerate(curves)])


def feeder_curves(hierarchy: Hierarchy, table: CurveTable) -> F64:
    """(F, 41) the feeders' curves of the table."""
    return np.asarray(table.sum_kw[hierarchy.level == Level.FEEDER])


def promised(curve: F64, firm: F64) -> F64:
    """(41,) the lesser movement of the portfolio's `curve`, within its network's limits, and its `firm` one."""
    still = curve[ZERO]
    up, down = np.minimum(np.maximum(curve, firm), still), np.maximum(np.minimum(curve, firm), still)
    return np.asarray(np.where(PRICE_GRID > 0.0, up, np.where(PRICE_GRID < 0.0, down, still)), np.float64)


def feeder_limits(feeders: int, settings: RingSettings) -> tuple[F64, F64]:
    """(F,) import and export limits, kW ≥ 0."""
    return np.full(feeders, settings.feeder_import_limit_kw), np.full(feeders, settings.feeder_export_limit_kw)


def next_bid(
    shards: Sequence[SiteShard], columns: Sequence[SiteColumns], hierarchy: Hierarchy, outlook: Outlook, now_us: int,
    settings: RingSettings,
) -> Bid | None:  # fmt: skip
    """The bid for the next interval; None while no plan reaches it."""
    interval = now_us // settings.interval_us + 1
    if not any(shard.plan is not None and shard.plan.step(interval) >= 0 for shard in shards):
        return None
    table = group_curves(hierarchy, offers_next(shards, columns, outlook, now_us, settings.interval_us))
    feeders = feeder_curves(hierarchy, table)
    curve = portfolio_curve(feeders, *feeder_limits(feeders.shape[0], settings))
    if settings.promise == "firm":
        curve = promised(curve, firm_curves(hierarchy, table)[PORTFOLIO])
    start = interval_starts(interval, 1, settings.interval_us)
    return bid_from_curve(int(start[0]), curve, settings.programme, float(outlook.spot_ahead(now_us, start)[0]))
