"""One home with any number of storages as a mixed-integer programme for HiGHS: for what nothing faster solves exactly.

Milliseconds to seconds a home. Binary variables stand only where a relaxation could cheat: a direction for each storage
whose losses could pay, and for the connection where selling pays more than buying; on or off where there is a least
power. Should a relaxed storage still charge and discharge at once, to be rid of energy, all get a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I32, Bools
from powerflock.domain.errors import Infeasible, Unsolved
from powerflock.optimise.check import constant_limits
from powerflock.optimise.linear import INFINITE, Programme
from powerflock.optimise.problem import Batteries, Devices, SiteProblems

_AT_ONCE_RATIO = 1e-6
"""Charging and discharging at once below this share of the storage's limit (of 1 kW at least) is HiGHS's rounding."""
_SHORT_PER_KWH, _SHORT_RATIO = 1.0, 100.0
"""A kWh short at an interval's end costs this much, and this many times the largest price: no saving is worth it."""


@dataclass(frozen=True, slots=True)
class HomeSchedule:
    """One home's plan: `battery_kw` (T,), `device_kw` (D, T), `curtailed_kw` (T,), all kW.

    `short_kwh` (1 + D, T) is what the battery and the devices have below their floors. No plan that is not further
    below them costs less than `bound` $.
    """

    battery_kw: F64
    device_kw: F64
    curtailed_kw: F64
    short_kwh: F64
    bound: float


def solve_milp(problems: SiteProblems, home: int, *, soft: bool = False) -> HomeSchedule | None:
    """The best schedule of one home with all its devices, to within HiGHS's gap; None where there is no schedule.

    `soft` asks for one that comes as near to the floors as can be, if they can't be kept. Raises `Unsolved`.
    """
    row = problems.tariff[home]
    cheapest = np.minimum(problems.import_per_kwh[row], problems.export_per_kwh[row]) + problems.coordination_per_kwh
    try:
        for directed in (cheapest < 0, np.ones(problems.intervals, np.bool_)):
            found = _attempt(problems, home, directed, soft=soft)
            if found is not None:
                return found
    except Infeasible:
        return None
    raise Unsolved("HiGHS charges and discharges a storage at once, though a whole number forbids it")


def _attempt(problems: SiteProblems, home: int, directed: Bools, *, soft: bool) -> HomeSchedule | None:
    """The best schedule, with a direction for each storage in `directed` (T,); None if it cheats elsewhere."""
    steps, hours, row = problems.intervals, problems.hours, problems.tariff[home]
    buy = problems.import_per_kwh[row] + problems.coordination_per_kwh
    sell = problems.export_per_kwh[row] + problems.coordination_per_kwh
    net, storages = problems.net_load_kw[home], _storages(problems, home)
    solar = np.zeros(steps) if problems.curtailable_kw is None else problems.curtailable_kw[home]
    most_in, most_out = _connection(storages, net, solar)
    model = Programme()
    bought, sold = model.add(steps, 0.0, most_in, buy * hours), model.add(steps, 0.0, most_out, -sell * hours)
    if (sell > buy).any():
        buying = model.add(steps, 0.0, 1.0, whole=True)
        model.require(-INFINITE, 0.0, (bought, 1.0), (buying, -most_in))
        model.require(-INFINITE, most_out, (sold, 1.0), (buying, most_out))
    dark = model.add(steps, 0.0, solar)
    worth = [abs(cell.terminal_per_kwh[0]) + cell.batteries.wear_per_kwh[0] for cell in storages]
    penalty = _SHORT_PER_KWH + _SHORT_RATIO * max(float(np.abs([buy, sell]).max(initial=0.0)), *worth)
    parts = [_storage(model, cell, hours, directed, penalty if soft else None) for cell in storages]
    balance = [term for charge, discharge, _ in parts for term in ((charge, -1.0), (discharge, 1.0))]
    model.require(net, net, (bought, 1.0), (sold, -1.0), (dark, -1.0), *balance)
    found = model.solve()
    pairs = [(found.x[charge], found.x[discharge]) for charge, discharge, _ in parts]
    if any(_burns(cell.batteries, *pair) for cell, pair in zip(storages, pairs, strict=True)):
        return None
    power = np.array([charge - discharge for charge, discharge in pairs])
    short = np.array([np.zeros(steps) if missing is None else found.x[missing] for *_, missing in parts])
    bound = found.value - found.gap - penalty * float(short.sum())
    return HomeSchedule(power[0], power[1:], found.x[dark], short, bound)


def _connection(storages: list[Devices], net_kw: F64, solar_kw: F64) -> tuple[F64, F64]:
    """(T,) most that can be bought and sold: what the limits allow, and no more than the storages can make of it.

    Bounds far above that would let HiGHS's tolerance for whole numbers buy and sell at once.
    """
    limits = [cell.limits or constant_limits(cell.batteries) for cell in storages]
    most_in = net_kw + solar_kw + sum(each.charge_limit_kw[0] for each in limits)
    most_out = sum(each.discharge_limit_kw[0] for each in limits) - net_kw
    return np.clip(most_in, 0.0, limits[0].import_limit_kw[0]), np.clip(most_out, 0.0, limits[0].export_limit_kw[0])


def _burns(cell: Batteries, charge_kw: F64, discharge_kw: F64) -> bool:
    """Whether a storage, a single row, gets rid of energy by both at once; one without losses cannot: they cancel."""
    if cell.charge_efficiency_ratio[0] * cell.discharge_efficiency_ratio[0] >= 1.0:
        return False
    most = max(1.0, float(cell.charge_limit_kw[0]), float(cell.discharge_limit_kw[0]))
    return bool((np.minimum(charge_kw, discharge_kw) > _AT_ONCE_RATIO * most).any())


def _storages(problems: SiteProblems, home: int) -> list[Devices]:
    """The home's battery and its devices, each as one row with its limits."""
    everyone = np.arange(problems.homes, dtype=np.int32)
    batteries = Devices(
        everyone, problems.batteries, problems.stored_kwh, problems.terminal_per_kwh, problems.limits
    )  # fmt: skip
    found = [batteries.rows(np.array([home]))]
    if problems.devices is not None:
        rows = np.flatnonzero(problems.devices.home == home)
        found += [problems.devices.rows(np.array([row])) for row in rows.tolist()]
    return found


def _storage(
    model: Programme, device: Devices, hours: F64, directed: Bools, penalty: float | None
) -> tuple[I32, I32, I32 | None]:
    """Add one storage, a single row; returns its charge and discharge variables, and what it is short if that may be.

    Short it may be of what is asked above its standing floor, in what it has where it stands: doing nothing is enough.
    """
    cell, limits = device.batteries, device.limits or constant_limits(device.batteries)
    wear, into, out = cell.wear_per_kwh[0], cell.charge_efficiency_ratio[0], 1.0 / cell.discharge_efficiency_ratio[0]
    most, least, steps = limits.charge_limit_kw[0], limits.discharge_limit_kw[0], hours.size
    charge, discharge = model.add(steps, 0.0, most, wear * hours), model.add(steps, 0.0, least, wear * hours)
    worth = np.zeros(steps)
    worth[-1] = -device.terminal_per_kwh[0]
    floor, capacity, missing = limits.floor_kwh[0], limits.capacity_kwh[0], None
    driven = np.maximum(capacity - cell.capacity_kwh[0], 0.0)  # a car's energy is counted as if it had not driven
    lowest = floor if penalty is None else np.minimum(floor, np.minimum(cell.floor_kwh + driven, device.stored_kwh))
    level = model.add(steps, lowest, capacity, worth)
    if penalty is not None:
        missing = model.add(steps, 0.0, floor - lowest, penalty)
        model.require(floor, INFINITE, (level, 1.0), (missing, 1.0))
    for now in (slice(0, 1), slice(1, None)):
        flow = [(level[now], 1.0), (charge[now], -into * hours[now]), (discharge[now], out * hours[now])]
        start = 0.0 if now.start else device.stored_kwh[0]
        model.require(start, start, *flow, *([(level[:-1], -1.0)] if now.start else []))
    both_ways = directed & (most > 0) & (least > 0) & (into < out)
    if both_ways.any() or cell.least_charge_kw[0] > 0 or cell.least_discharge_kw[0] > 0:
        on, off = model.add(steps, 0.0, 1.0, whole=True), model.add(steps, 0.0, 1.0, whole=True)
        for power, running, highest, lowest in (
            (charge, on, most, cell.least_charge_kw[0]), (discharge, off, least, cell.least_discharge_kw[0]),
        ):  # fmt: skip
            model.require(-INFINITE, 0.0, (power, 1.0), (running, -highest))
            model.require(0.0, INFINITE, (power, 1.0), (running, -lowest))
        model.require(-INFINITE, 1.0, (on, 1.0), (off, 1.0))
    return charge, discharge, missing
