"""Clearing: one price for the portfolio, and another for each feeder that is at its limit. Prices down, nothing else.

Feeder curves are summed after clipping at the feeder's limits. At the portfolio's price a clipped feeder would exceed
its limit, so it gets the price at which its own members stop there; members then add up to their feeder's power, and
feeders to the target, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.curve.grid import price_for, read_at
from powerflock.domain.arrays import F32, F64, I64


@dataclass(frozen=True, slots=True)
class Clearing:
    """`price_per_kwh` of the portfolio, of each feeder (F,), the feeders' power (F,) kW, and what was not met, kW."""

    price_per_kwh: float
    feeder_price_per_kwh: F64
    feeder_kw: F64
    shortfall_kw: float


def portfolio_curve(feeder_curves_kw: F64, import_limit_kw: F64, export_limit_kw: F64) -> F64:
    """(K,) the portfolio's curve: feeders' curves (F, K), each clipped at its own limits (F,), then summed."""
    return np.asarray(np.clip(feeder_curves_kw, -export_limit_kw[:, None], import_limit_kw[:, None]).sum(axis=0))


def clear(feeder_curves_kw: F64, import_limit_kw: F64, export_limit_kw: F64, target_kw: float) -> Clearing:
    """Prices at which the feeders' members add up to `target_kw`, or come as near as they can."""
    price = price_for(portfolio_curve(feeder_curves_kw, import_limit_kw, export_limit_kw), target_kw)
    clipped = np.clip(feeder_curves_kw, -export_limit_kw[:, None], import_limit_kw[:, None])
    power = read_at(clipped, price)
    prices = np.full(power.size, price)
    for feeder in np.flatnonzero(np.abs(power - read_at(feeder_curves_kw, price)) > 1e-9):
        prices[feeder] = price_for(feeder_curves_kw[feeder], float(power[feeder]))
    return Clearing(price, prices, power, float(target_kw - power.sum()))


def setpoints(offers_kw: F32, feeder_of_site: I64, clearing: Clearing) -> F64:
    """(S,) net power for each site: its own curve (S, K) read at its feeder's price."""
    out = read_at(offers_kw, clearing.price_per_kwh)
    for feeder in np.flatnonzero(clearing.feeder_price_per_kwh != clearing.price_per_kwh):
        members = feeder_of_site == feeder
        out[members] = read_at(offers_kw[members], float(clearing.feeder_price_per_kwh[feeder]))
    return out
