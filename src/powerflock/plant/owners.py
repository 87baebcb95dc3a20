"""Owners' accounts: what each is paid, and the world beside in which each home does the best for its owner alone.

The world beside is a battery per home that answers λ = 0 with the owner's own value function to the load that was
really metered; it starts each local day from where the real battery stands. It is the fleet's baseline, and the
measure of the guarantee: at the day's end whatever a home's realised cost exceeds that of the world beside, after
payments and with the energy left valued alike, is topped up. Must not know markets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from powerflock.domain.arrays import F64, Bools, Records
from powerflock.optimise.respond import Moment, answers, energy_cost, stored_change
from powerflock.optimise.site import ValueFunctions

OWNER = np.dtype(
    [
        ("beside_kwh", "<f8"),
        ("paid", "<f8"),
        ("topped_up", "<f8"),
        ("shared", "<f8"),
        ("day_cost", "<f8"),
        ("day_cost_beside", "<f8"),
        ("day_paid", "<f8"),
        ("day_earned", "<f8"),
        ("register_kwh", "<f8"),
    ]
)
"""Energy in the battery beside, kWh (NaN: not known yet); $ paid since enrolment: for regret, as top-up, as a share of
the gain; the open day's cost, the cost beside, payments, and what the deviation earned, $; and the meter's register
where the open books began, kWh (NaN: not known), so that whoever takes them up counts on from there."""
OWNER_V1 = np.dtype([(name, OWNER[name]) for name in (OWNER.names or ())[:-1]])
"""As the first version wrote them: without the register."""


class DayEnd(NamedTuple):
    """$ added at a day's end, (S,) each."""

    top_up: F64
    share: F64


def open_accounts(sites: int) -> Records:
    """(S,) accounts with nothing in them."""
    accounts: Records = np.zeros(sites, OWNER)
    accounts["beside_kwh"] = accounts["register_kwh"] = np.nan
    return accounts


def grow(accounts: Records, sites: int) -> Records:
    """The accounts with empty ones added, `sites` in all."""
    return np.concatenate([accounts, open_accounts(sites - accounts.size)])


@dataclass(frozen=True, slots=True)
class Real:
    """What really happened over `hours`, (S,): net energy metered kWh (NaN unknown), $ cost, kWh stored more."""

    hours: float
    net_kwh: F64
    cost: F64
    change_kwh: F64


def follow(accounts: Records, real: Real) -> F64:
    """While there is no plan the world beside does as the real one; returns its net energy, (S,) kWh."""
    accounts["day_cost_beside"] += real.cost
    accounts["beside_kwh"] += real.change_kwh
    return real.net_kwh


def live_beside(
    accounts: Records, moment: Moment, values: ValueFunctions, step: int, real: Real, planned: Bools
) -> F64:
    """Let the batteries beside answer λ = 0 while the real ones did as they did; returns net energy, (S,) kWh.

    `moment` is what is left of the interval with the load that was metered, `step` its end in `values`. Homes that are
    not `planned` (S,), or of which the meter or battery is unknown, do beside what they do here.
    """
    known = planned & np.isfinite(real.net_kwh) & np.isfinite(accounts["beside_kwh"])
    beside = replace(moment, stored_kwh=np.nan_to_num(accounts["beside_kwh"]))
    power = answers(beside, values, step, np.zeros(1))[:, 0]
    energy_kwh = (moment.net_load_kw + power) * real.hours
    wear = moment.batteries.wear_per_kwh * np.abs(power) * real.hours
    accounts["beside_kwh"] += np.where(known, stored_change(moment.batteries, power, real.hours), real.change_kwh)
    accounts["day_cost_beside"] += np.where(known, energy_cost(moment, energy_kwh) + wear, real.cost)
    return np.where(known, energy_kwh, real.net_kwh)


def close_day(accounts: Records, to_go: F64, to_go_beside: F64, stored_kwh: F64, share_ratio: float) -> DayEnd:
    """Top up and share out the day that ends, and start the next from the real batteries.

    `to_go` and `to_go_beside` (S,) $ are the owner's cost to go from the energy really left and from that beside.
    """
    cost = accounts["day_cost"] - accounts["day_paid"] + to_go
    top_up = np.nan_to_num(np.maximum(cost - accounts["day_cost_beside"] - to_go_beside, 0.0))
    gain = accounts["day_earned"] - accounts["day_paid"] - top_up
    share = share_ratio * np.maximum(gain, 0.0)
    accounts["topped_up"] += top_up
    accounts["shared"] += share
    for name in ("day_cost", "day_cost_beside", "day_paid", "day_earned"):
        accounts[name] = 0.0
    accounts["beside_kwh"] = stored_kwh
    return DayEnd(top_up, share)
