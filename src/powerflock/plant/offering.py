"""Curves up: sites' offers for the interval at hand and for the next, summed to the feeders and the portfolio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from powerflock.curve.grid import PRICE_GRID
from powerflock.dispatch.allocate import portfolio_curve
from powerflock.domain.arrays import F32, F64
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.groups.firm import ZERO
from powerflock.market.bids import Bid, bid_from_curve
from powerflock.optimise.respond import stored_change
from powerflock.plant.model import RingSettings
from powerflock.plant.outlook import Outlook
from powerflock.plant.shard import SiteShard, interval_starts
from powerflock.plant.terms import batteries
from powerflock.twins.estimate import SiteColumns

_NO_SITES = np.zeros((0, PRICE_GRID.size), np.float32)


class Firm(NamedTuple):
    """What the portfolio can promise: its firm curve (41,), and how far it can go at all after any single failure."""

    curve_kw: F64
    least_kw: float
    most_kw: float


def offer_now(
    shard: SiteShard, columns: SiteColumns, outlook: Outlook, part: int, now_us: int, interval_us: int
) -> F32:
    """The partition's (S, 41) net kW for what is left of the interval that holds `now_us`."""
    if not shard.sites:
        return _NO_SITES
    interval = now_us // interval_us
    hours = max((interval + 1) * interval_us - now_us, MICROS_PER_S) / MICROS_PER_HOUR
    load = outlook.nowcast(part, now_us, now_us, columns)
    return shard.offer(columns, interval, now_us, hours, load, columns.stored_kwh)


def offer_next(
    shard: SiteShard, columns: SiteColumns, outlook: Outlook, part: int, now_us: int, interval_us: int
) -> F32:
    """The partition's (S, 41) net kW for the whole next interval, from where batteries will stand at its start."""
    if not shard.sites:
        return _NO_SITES
    interval = now_us // interval_us + 1
    start, length = interval * interval_us, interval_us / MICROS_PER_HOUR
    load = outlook.nowcast(part, now_us, start, columns)
    cells = batteries(shard.twins.table, shard.terms.wear_per_kwh, np.nan_to_num(load))
    told = np.where(np.isnan(shard.setpoint_kw), columns.meter_kw, shard.setpoint_kw)
    battery = np.clip(told - columns.net_load_kw, -columns.discharge_limit_kw, columns.charge_limit_kw)
    stored = columns.stored_kwh + stored_change(cells, battery, (start - now_us) / MICROS_PER_HOUR)
    stored = np.clip(stored, np.minimum(cells.floor_kwh, columns.stored_kwh), cells.capacity_kwh)
    return shard.offer(columns, interval, start, length, load, stored)


def held_next(shard: SiteShard, offers_kw: F32) -> F32:
    """(S, 1) net kW in the next interval of sites that hear nothing more: as told last, or as at price 0."""
    told, alone = shard.setpoint_kw[:, None], offers_kw[:, [ZERO]]
    return np.where(np.isnan(told) | np.isnan(alone), alone, told).astype(np.float32)


def promised(curve: F64, firm: F64) -> F64:
    """(41,) the lesser movement of the portfolio's `curve`, within its network's limits, and its `firm` one."""
    still = curve[ZERO]
    up, down = np.minimum(np.maximum(curve, firm), still), np.maximum(np.minimum(curve, firm), still)
    return np.asarray(np.where(PRICE_GRID > 0.0, up, np.where(PRICE_GRID < 0.0, down, still)), np.float64)


def feeder_limits(feeders: int, settings: RingSettings) -> tuple[F64, F64]:
    """(F,) import and export limits, kW ≥ 0."""
    return np.full(feeders, settings.feeder_import_limit_kw), np.full(feeders, settings.feeder_export_limit_kw)


def next_bid(
    feeders_kw: F64, firm: Firm | None, outlook: Outlook, interval: int, now_us: int, settings: RingSettings
) -> Bid:
    """The bid for `interval` by the feeders' curves (F, 41); where `firm` is given, of no more than that."""
    curve = portfolio_curve(feeders_kw, *feeder_limits(feeders_kw.shape[0], settings))
    if firm is not None:
        curve = np.clip(promised(curve, firm.curve_kw), firm.least_kw, firm.most_kw)
    start = interval_starts(interval, 1, settings.interval_us)
    return bid_from_curve(int(start[0]), curve, settings.programme, float(outlook.spot_ahead(now_us, start)[0]))
