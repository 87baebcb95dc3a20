"""Cars and hot water as storages: stays and heating windows become limits over time.

A car's energy is counted cumulatively: what it drives is added to every later floor and capacity, so its stored energy
in a plan is what it would hold had it never driven. Hot water is charge without losses that has to be done within its
windows. So both are rows of `Devices`, solved as batteries are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, Values, VaryingLimits, column, whole


@dataclass(frozen=True, slots=True)
class Stays:
    """M stays of cars at home, in order of time for each car, each (M,).

    Car `car` is plugged in from interval `arrival` until `departure` (half-open), needs `needed_kwh` in its battery
    when it leaves, and uses `driven_kwh` before it comes back.
    """

    car: I32
    arrival: I32
    departure: I32
    needed_kwh: F64
    driven_kwh: F64

    @staticmethod
    def of(
        car: Values, *, arrival: Values, departure: Values, needed_kwh: Values, driven_kwh: Values = 0.0
    ) -> Stays:  # fmt: skip
        """Stays from numbers or sequences; `InvalidInput` where a column does not fit."""
        count = np.size(car)
        return Stays(
            whole("car", car, count), whole("arrival", arrival, count), whole("departure", departure, count),
            column("needed_kwh", needed_kwh, (count,)), column("driven_kwh", driven_kwh, (count,)),
        )  # fmt: skip


def cars(
    home: Values, cells: Batteries, stays: Stays, intervals: int, *, stored_kwh: Values, terminal_per_kwh: Values = 0.0
) -> Devices:
    """The cars of `cells`, (N,) rows, as storages of homes `home`, at home only during their `stays`.

    `cells` gives each car's capacity, floor, power, efficiencies and least charging power; a discharge limit above 0
    is vehicle-to-grid. `stored_kwh` (N,) is in the battery at the first interval. Raises `InvalidInput` naming the car.
    """
    count = cells.capacity_kwh.size
    _check_windows("car", stays.car, stays.arrival, stays.departure, count, intervals)
    plugged = _inside(stays.car, stays.arrival, stays.departure, count, intervals)
    driven = np.zeros((count, intervals))
    gone = stays.departure < intervals
    np.add.at(driven, (stays.car[gone], stays.departure[gone]), stays.driven_kwh[gone])
    driven = np.cumsum(driven, axis=1)
    floor = np.repeat(cells.floor_kwh[:, None], intervals, axis=1)
    np.maximum.at(floor, (stays.car, stays.departure - 1), stays.needed_kwh)
    over = stays.needed_kwh > cells.capacity_kwh[stays.car] + 1e-9
    if over.any():
        row = int(over.argmax())
        raise InvalidInput(
            f"car {stays.car[row]}: needed_kwh", float(stays.needed_kwh[row]), "must not exceed capacity_kwh"
        )
    limits = VaryingLimits.of(
        cells, intervals, charge_limit_kw=cells.charge_limit_kw[:, None] * plugged,
        discharge_limit_kw=cells.discharge_limit_kw[:, None] * plugged, floor_kwh=floor + driven,
        capacity_kwh=cells.capacity_kwh[:, None] + driven,
    )  # fmt: skip
    return Devices.of(home, cells, stored_kwh=stored_kwh, terminal_per_kwh=terminal_per_kwh, limits=limits)


def tanks(
    home: Values, power_kw: Values, *, tank: Values, start: Values, end: Values, needed_kwh: Values, intervals: int,
    least_kw: Values = 0.0,
) -> Devices:  # fmt: skip
    """N hot water tanks of `power_kw` at homes `home`, of which `tank[m]` needs `needed_kwh` within [start, end) of m.

    Windows of one tank are in order and do not overlap; between them the tank is off. Raises `InvalidInput`.
    """
    count, windows = np.size(home), np.size(tank)
    rows, first, last = whole("tank", tank, windows), whole("start", start, windows), whole("end", end, windows)
    need = column("needed_kwh", needed_kwh, (windows,))
    _check_windows("tank", rows, first, last, count, intervals)
    floor, capacity = np.zeros((count, intervals)), np.zeros((count, intervals))
    np.add.at(floor, (rows, last - 1), need)
    np.add.at(capacity, (rows, first), need)
    floor, capacity = np.cumsum(floor, axis=1), np.cumsum(capacity, axis=1)
    cells = Batteries.of(
        count, capacity_kwh=capacity[:, -1], charge_limit_kw=power_kw, discharge_limit_kw=0.0,
        charge_efficiency_ratio=1.0, discharge_efficiency_ratio=1.0, wear_per_kwh=0.0, least_charge_kw=least_kw,
    )  # fmt: skip
    on = _inside(rows, first, last, count, intervals)
    limits = VaryingLimits.of(
        cells, intervals, charge_limit_kw=cells.charge_limit_kw[:, None] * on, floor_kwh=floor, capacity_kwh=capacity
    )
    return Devices.of(home, cells, stored_kwh=0.0, limits=limits)


def within_reach(problems: SiteProblems) -> tuple[SiteProblems, F64]:
    """The same problems with floors lowered to what can be reached, and (S,) kWh by which each home falls short.

    A storm reserve announced late, or a car that leaves too soon, is served as far as charging from the start allows.
    The connection's import limit counts for the home's battery; devices are taken each as if alone. Where that is not
    enough, `plan_sites` finds how near a home can come.
    """
    short = np.zeros(problems.homes)
    limits, devices = problems.limits, problems.devices
    low = problems.stored_kwh < problems.batteries.floor_kwh
    if limits is None and low.any():
        limits = VaryingLimits.of(problems.batteries, problems.intervals)
    if limits is not None:
        room = limits.import_limit_kw - problems.net_load_kw
        highest = _highest(problems.batteries, limits, problems.stored_kwh, room, problems.hours)
        short = np.maximum(limits.floor_kwh - highest, 0.0).max(axis=1, initial=0.0)
        limits = replace(limits, floor_kwh=np.minimum(limits.floor_kwh, highest))
    if devices is not None and devices.limits is not None:
        room = np.full(devices.limits.floor_kwh.shape, np.inf)
        highest = _highest(devices.batteries, devices.limits, devices.stored_kwh, room, problems.hours)
        missing = np.maximum(devices.limits.floor_kwh - highest, 0.0).max(axis=1, initial=0.0)
        np.add.at(short, devices.home, missing)
        lowered = replace(devices.limits, floor_kwh=np.minimum(devices.limits.floor_kwh, highest))
        devices = replace(devices, limits=lowered)
    return replace(problems, limits=limits, devices=devices), short


def lowered(problems: SiteProblems, asked: SiteProblems, home: int, short_kwh: F64) -> SiteProblems:
    """The same problems but for the floors of `home`: those it was `asked` for, less `short_kwh` (1 + devices, T)."""
    limits, devices = problems.limits, problems.devices
    if limits is not None:
        wanted = asked.limits or VaryingLimits.of(asked.batteries, asked.intervals)
        floor = limits.floor_kwh.copy()
        floor[home] = wanted.floor_kwh[home] - short_kwh[0]
        limits = replace(limits, floor_kwh=floor)
    if devices is not None and devices.limits is not None and asked.devices is not None:
        rows, wanted = devices.home == home, asked.devices.limits or devices.limits
        floor = devices.limits.floor_kwh.copy()
        floor[rows] = wanted.floor_kwh[rows] - short_kwh[1:]
        devices = replace(devices, limits=replace(devices.limits, floor_kwh=floor))
    return replace(problems, limits=limits, devices=devices)


def _highest(cells: Batteries, limits: VaryingLimits, stored_kwh: F64, room_kw: F64, hours: F64) -> F64:
    """(N, T) most that can be stored at the intervals' ends, charging from the start as fast as the limits allow."""
    power = np.minimum(limits.charge_limit_kw, room_kw)
    factor = np.where(
        power > 0, cells.charge_efficiency_ratio[:, None], 1.0 / cells.discharge_efficiency_ratio[:, None]
    )
    highest, stored = np.empty_like(limits.floor_kwh), stored_kwh
    for step in range(hours.size):
        stored = np.minimum(stored + power[:, step] * factor[:, step] * hours[step], limits.capacity_kwh[:, step])
        highest[:, step] = stored
    return highest


def _inside(row: I32, start: I32, end: I32, rows: int, intervals: int) -> F64:
    """(rows, intervals) 1.0 inside the windows, else 0.0."""
    edges = np.zeros((rows, intervals + 1))
    np.add.at(edges, (row, start), 1.0)
    np.add.at(edges, (row, end), -1.0)
    return np.asarray(np.minimum(np.cumsum(edges, axis=1)[:, :-1], 1.0))


def _check_windows(kind: str, row: I32, start: I32, end: I32, rows: int, intervals: int) -> None:
    bad = (row < 0) | (row >= rows)
    if bad.any():
        raise InvalidInput(kind, int(row[bad.argmax()]), f"must be one of the {rows} rows")
    bad = (start < 0) | (end <= start) | (end > intervals)
    if bad.any():
        at = int(bad.argmax())
        raise InvalidInput(
            f"{kind} {row[at]}: window",
            (int(start[at]), int(end[at])),
            f"must begin before it ends, within {intervals} intervals",
        )
