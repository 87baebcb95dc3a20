"""One storage in front of the meter that sells energy and regulation up and down: its best schedule, exactly.

Regulation up is more discharge or less charge than planned, down the reverse, and power once promised is not sold
twice. Of what is promised a part is used, as energy: `up_use_ratio` and `down_use_ratio`, on average; it is settled at
the energy price and moves the stored energy. At an interval's start enough energy must be stored, and room be left, to
give all of it for `sustain_hours`. A storage charges or discharges in an interval, never both, though it may stop
charging *and* discharge when regulation calls. Must not know markets' calendars; positive costs are paid, revenues < 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import Infeasible, InvalidInput
from powerflock.optimise.linear import INFINITE, Optimum, Programme
from powerflock.optimise.problem import Values, column

Hook: TypeAlias = Callable[[Programme, Mapping[str, I32]], None]
"""Adds a caller's own variables and rows; the storage's variables are given by name, each (T,): see `VARIABLES`."""
VARIABLES = (
    "charge_kw", "discharge_kw", "up_charge_kw", "up_discharge_kw", "down_charge_kw", "down_discharge_kw", "stored_kwh",
)  # fmt: skip
"""Of these `up_charge_kw` is charge that may stop, `down_discharge_kw` discharge that may stop, at regulation's call.

`stored_kwh` is at the intervals' ends."""
_AT_ONCE_KW = 1e-7


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage at its connection: kW, kWh and ratios; `stored_kwh` at the start, `final_kwh` exactly so at the end.

    `final_kwh` None leaves the end free, each kWh worth `terminal_per_kwh`. `variable_per_kwh` is what each kWh
    discharged costs, regulation's included.
    """

    charge_limit_kw: float
    discharge_limit_kw: float
    capacity_kwh: float
    floor_kwh: float = 0.0
    charge_efficiency_ratio: float = 1.0
    discharge_efficiency_ratio: float = 1.0
    variable_per_kwh: float = 0.0
    stored_kwh: float = 0.0
    final_kwh: float | None = None
    terminal_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class RegulationMarket:
    """Prices over T intervals, each (T,): energy in $/kWh; a kW of regulation up or down for an hour in $/kW."""

    hours: F64
    energy_per_kwh: F64
    up_per_kw_hour: F64
    down_per_kw_hour: F64
    up_use_ratio: float = 0.0
    down_use_ratio: float = 0.0
    sustain_hours: float = 1.0

    @staticmethod
    def of(
        energy_per_kwh: Values, *, hours: Values = 1.0, up_per_kw_hour: Values = 0.0, down_per_kw_hour: Values = 0.0,
        up_use_ratio: float = 0.0, down_use_ratio: float = 0.0, sustain_hours: float = 1.0,
    ) -> RegulationMarket:  # fmt: skip
        """A market of (T,) energy prices; the other columns are one number for all or (T,)."""
        shape = np.shape(energy_per_kwh)
        return RegulationMarket(
            column("hours", hours, shape), column("energy_per_kwh", energy_per_kwh, shape),
            column("up_per_kw_hour", up_per_kw_hour, shape), column("down_per_kw_hour", down_per_kw_hour, shape),
            up_use_ratio, down_use_ratio, sustain_hours,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StorageSchedule:
    """`cost` in $ is the sum of the parts below less the terminal value; columns as `VARIABLES`, each (T,).

    `energy`, `regulation_up`, `regulation_down`, `settlement` (the energy that regulation uses) and `variable`: (T,) $.
    """

    cost: float
    charge_kw: F64
    discharge_kw: F64
    up_charge_kw: F64
    up_discharge_kw: F64
    down_charge_kw: F64
    down_discharge_kw: F64
    stored_kwh: F64
    energy: F64
    regulation_up: F64
    regulation_down: F64
    settlement: F64
    variable: F64


def schedule_storage(
    storage: Storage, market: RegulationMarket, *, exclusive: bool = True, extra: Hook | None = None
) -> StorageSchedule:
    """The schedule of least cost. `extra` may add rows of the caller's own.

    With `exclusive` charge and discharge exclude each other: a linear programme where its optimum keeps to that, a
    mixed-integer one (gap 1e-9) where it would not. Raises `InvalidInput` for bad numbers, `Infeasible`.
    """
    _check(storage, market)
    programme, names = _model(storage, market, exclusive=exclusive)
    if extra is not None:
        extra(programme, names)
    try:
        found = programme.solve(relaxed=True)
        if exclusive and (np.minimum(found.x[names["charge_kw"]], found.x[names["discharge_kw"]]) > _AT_ONCE_KW).any():
            found = programme.solve()
    except Infeasible as error:
        raise Infeasible(
            "final_kwh", storage.final_kwh, "cannot be reached within the limits and the extra rows",
            "Leave it free with None, allow more power, or look at the extra rows.",
        ) from error  # fmt: skip
    return _schedule(storage, market, names, found)


def _model(storage: Storage, market: RegulationMarket, *, exclusive: bool) -> tuple[Programme, dict[str, I32]]:
    """The programme and its variables by name."""
    programme, hours, price, steps = Programme(), market.hours, market.energy_per_kwh, market.hours.size
    into, out = storage.charge_efficiency_ratio, 1.0 / storage.discharge_efficiency_ratio
    up_use, down_use = market.up_use_ratio, market.down_use_ratio
    worn = storage.variable_per_kwh
    costs = (
        price, worn - price,
        -market.up_per_kw_hour - up_use * price, -market.up_per_kw_hour - up_use * (price - worn),
        -market.down_per_kw_hour + down_use * price, -market.down_per_kw_hour + down_use * (price - worn),
    )  # fmt: skip
    most = storage.charge_limit_kw, storage.discharge_limit_kw
    limits = (most[0], most[1], most[0], most[1], most[0], most[1])
    powers = [programme.add(steps, 0.0, limit, cost * hours) for limit, cost in zip(limits, costs, strict=True)]
    charge, discharge, up_charge, up_discharge, down_charge, down_discharge = powers
    low, high, worth = np.full(steps, storage.floor_kwh), np.full(steps, storage.capacity_kwh), np.zeros(steps)
    worth[-1] = -storage.terminal_per_kwh
    if storage.final_kwh is not None:
        low[-1] = high[-1] = storage.final_kwh
    stored = programme.add(steps, low, high, worth)
    start = programme.add(1, storage.stored_kwh, storage.stored_kwh)
    before = np.concatenate([start, stored[:-1]])
    programme.require(0.0, INFINITE, (charge, 1.0), (up_charge, -1.0))
    programme.require(0.0, INFINITE, (discharge, 1.0), (down_discharge, -1.0))
    programme.require(-INFINITE, most[0], (charge, 1.0), (down_charge, 1.0))
    programme.require(-INFINITE, most[1], (discharge, 1.0), (up_discharge, 1.0))
    programme.require(
        0.0, 0.0, (stored, 1.0), (before, -1.0), (charge, -into * hours), (discharge, out * hours),
        (up_charge, into * up_use * hours), (up_discharge, out * up_use * hours),
        (down_charge, -into * down_use * hours), (down_discharge, -out * down_use * hours),
    )  # fmt: skip
    held = market.sustain_hours
    programme.require(
        storage.floor_kwh, INFINITE, (before, 1.0), (up_charge, -into * held), (up_discharge, -out * held)
    )
    programme.require(
        -INFINITE, storage.capacity_kwh, (before, 1.0), (down_charge, into * held), (down_discharge, out * held)
    )
    if exclusive:
        charging = programme.add(steps, 0.0, 1.0, whole=True)
        programme.require(-INFINITE, 0.0, (charge, 1.0), (charging, -most[0]))
        programme.require(-INFINITE, most[1], (discharge, 1.0), (charging, most[1]))
    return programme, dict(zip(VARIABLES, (*powers, stored), strict=True))


def _schedule(storage: Storage, market: RegulationMarket, names: Mapping[str, I32], found: Optimum) -> StorageSchedule:
    """The schedule in the programme's optimum, and what it costs by parts."""
    at = {name: np.asarray(found.x[index]) for name, index in names.items()}
    up, down = at["up_charge_kw"] + at["up_discharge_kw"], at["down_charge_kw"] + at["down_discharge_kw"]
    given = market.up_use_ratio * at["up_discharge_kw"] - market.down_use_ratio * at["down_discharge_kw"]
    used = market.down_use_ratio * down - market.up_use_ratio * up
    parts = {
        "energy": market.energy_per_kwh * (at["charge_kw"] - at["discharge_kw"]) * market.hours,
        "regulation_up": -market.up_per_kw_hour * up * market.hours,
        "regulation_down": -market.down_per_kw_hour * down * market.hours,
        "settlement": market.energy_per_kwh * used * market.hours,
        "variable": storage.variable_per_kwh * (at["discharge_kw"] + given) * market.hours,
    }
    cost = sum(float(part.sum()) for part in parts.values()) - storage.terminal_per_kwh * float(at["stored_kwh"][-1])
    return StorageSchedule(cost=cost, **at, **parts)


def _check(storage: Storage, market: RegulationMarket) -> None:
    """Raise `InvalidInput` for the first number that makes no sense."""
    for name in ("hours", "energy_per_kwh", "up_per_kw_hour", "down_per_kw_hour"):
        values = getattr(market, name)
        bad = ~np.isfinite(values) | ((values <= 0) if name == "hours" else False)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise InvalidInput(f"interval {at}: {name}", float(values[at]), "must be finite (hours above 0)")
    ratios = ("charge_efficiency_ratio", "discharge_efficiency_ratio")
    for name in (field.name for field in fields(storage)):
        value = getattr(storage, name)
        if value is None or name == "terminal_per_kwh":
            continue
        if not (0.0 < value <= 1.0 if name in ratios else 0.0 <= value < INFINITE):
            raise InvalidInput(name, value, "must be in (0, 1]" if name in ratios else "must be finite and 0 or more")
    for name in ("stored_kwh", "final_kwh"):
        value = getattr(storage, name)
        if value is not None and not storage.floor_kwh <= value <= storage.capacity_kwh:
            bound = f"must lie between floor_kwh {storage.floor_kwh} and capacity_kwh {storage.capacity_kwh}"
            raise InvalidInput(name, value, bound)
    for name, most in (("up_use_ratio", 1.0), ("down_use_ratio", 1.0), ("sustain_hours", INFINITE)):
        if not 0.0 <= getattr(market, name) <= most:
            raise InvalidInput(name, getattr(market, name), f"must lie between 0 and {most:g}")
