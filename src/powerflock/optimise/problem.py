"""The site problem for a batch of homes, as columns.

Passive signs. Home i over T intervals of `hours[t]`: net load n (load + solar), import price a and export price b, the
coordination price λ added to both, storage powers p in [−discharge, charge], solar switched off c ≤ curtailable, the
connection's limits on n + Σp + c, stored energy in [floor, capacity] at every interval's end. Minimise
bill + wear·|p| − terminal·(energy left). What is optional costs nothing where it is None.
Must not know how it is solved; `faults` says which homes are sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from powerflock.domain.arrays import F64, I32, I64
from powerflock.domain.errors import InvalidInput

Values: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[np.generic]
"""What a column may be built from: one number for all, or as many as there are."""


@dataclass(frozen=True, slots=True)
class Batteries:
    """Battery and connection of S homes, each (S,) float64. A home without battery has zero limits and capacity.

    Where `least_charge_kw` or `least_discharge_kw` is not 0, power below it is impossible, but for none at all.
    """

    charge_limit_kw: F64
    discharge_limit_kw: F64
    charge_efficiency_ratio: F64
    discharge_efficiency_ratio: F64
    wear_per_kwh: F64
    floor_kwh: F64
    capacity_kwh: F64
    import_limit_kw: F64
    export_limit_kw: F64
    least_charge_kw: F64
    least_discharge_kw: F64

    @staticmethod
    def of(
        homes: int,
        *,
        capacity_kwh: Values,
        charge_limit_kw: Values,
        discharge_limit_kw: Values,
        floor_kwh: Values = 0.0,
        charge_efficiency_ratio: Values = 0.95,
        discharge_efficiency_ratio: Values = 0.95,
        wear_per_kwh: Values = 0.02,
        import_limit_kw: Values = 100.0,
        export_limit_kw: Values = 100.0,
        least_charge_kw: Values = 0.0,
        least_discharge_kw: Values = 0.0,
    ) -> Batteries:
        """`homes` batteries, each column one number for all or (S,) numbers; `InvalidInput` where it is neither."""
        given = locals()
        return Batteries(*(column(field.name, given[field.name], (homes,)) for field in fields(Batteries)))

    def rows(self, part: slice | I64) -> Batteries:
        """The homes in `part`."""
        return Batteries(*(getattr(self, field.name)[part] for field in fields(self)))

    def stacked(self) -> F64:
        """(S, 11) float64, C order, columns in the order of the fields: what the kernels read."""
        return np.ascontiguousarray(np.stack([getattr(self, field.name) for field in fields(self)], axis=1))


@dataclass(frozen=True, slots=True)
class VaryingLimits:
    """Limits that change over time, each (S, T) float64; they replace those in `Batteries`.

    `floor_kwh` and `capacity_kwh` hold at the intervals' ends, so a floor that rises is energy needed by then: a storm
    reserve, or a car's departure. Import and export limits are the connection's (a dynamic operating envelope).
    """

    charge_limit_kw: F64
    discharge_limit_kw: F64
    floor_kwh: F64
    capacity_kwh: F64
    import_limit_kw: F64
    export_limit_kw: F64

    @staticmethod
    def of(
        batteries: Batteries,
        intervals: int,
        *,
        charge_limit_kw: Values | None = None,
        discharge_limit_kw: Values | None = None,
        floor_kwh: Values | None = None,
        capacity_kwh: Values | None = None,
        import_limit_kw: Values | None = None,
        export_limit_kw: Values | None = None,
    ) -> VaryingLimits:
        """The batteries' own limits, but for those given: one number, (T,) for all homes, or (S, T)."""
        given, shape = locals(), (batteries.capacity_kwh.size, intervals)
        columns = []
        for field in fields(VaryingLimits):
            values = given[field.name]
            own = getattr(batteries, field.name)[:, None]
            columns.append(column(field.name, own if values is None else values, shape))
        return VaryingLimits(*columns)

    def rows(self, part: slice | I64) -> VaryingLimits:
        """The homes in `part`."""
        return VaryingLimits(*(getattr(self, field.name)[part] for field in fields(self)))

    def stacked(self) -> F64:
        """(S, T, 6) float64, C order, columns in the order of the fields: what the kernels read."""
        return np.ascontiguousarray(np.stack([getattr(self, field.name) for field in fields(self)], axis=2))


@dataclass(frozen=True, slots=True)
class Devices:
    """N further storages at the homes: cars, tanks, second batteries. `home` (N,) int32; the rest as in `SiteProblems`.

    The connection's limits in `batteries` and `limits` mean nothing here. Energies may be cumulative: see `sessions`.
    """

    home: I32
    batteries: Batteries
    stored_kwh: F64
    terminal_per_kwh: F64
    limits: VaryingLimits | None = None

    @staticmethod
    def of(
        home: Values, batteries: Batteries, *, stored_kwh: Values, terminal_per_kwh: Values = 0.0,
        limits: VaryingLimits | None = None,
    ) -> Devices:  # fmt: skip
        """The devices of `batteries` at homes `home`; `InvalidInput` where a column does not fit."""
        count = batteries.capacity_kwh.size
        return Devices(
            whole("home", home, count), batteries, column("stored_kwh", stored_kwh, (count,)),
            column("terminal_per_kwh", terminal_per_kwh, (count,)), limits,
        )  # fmt: skip

    def with_(self, more: Devices) -> Devices:
        """These devices and `more`, in this order."""
        limits = self.limits, more.limits
        if limits != (None, None):
            steps = next(each.floor_kwh.shape[1] for each in limits if each is not None)
            limits = (
                limits[0] or VaryingLimits.of(self.batteries, steps),
                limits[1] or VaryingLimits.of(more.batteries, steps),
            )
        return Devices(
            np.concatenate([self.home, more.home]), _stacked(self.batteries, more.batteries),
            np.concatenate([self.stored_kwh, more.stored_kwh]),
            np.concatenate([self.terminal_per_kwh, more.terminal_per_kwh]),
            None if limits[0] is None or limits[1] is None else _stacked(limits[0], limits[1]),
        )  # fmt: skip

    def rows(self, part: slice | I64) -> Devices:
        """The devices in `part`."""
        limits = None if self.limits is None else self.limits.rows(part)
        return Devices(
            self.home[part], self.batteries.rows(part), self.stored_kwh[part], self.terminal_per_kwh[part], limits
        )

    def at(self, first: int, end: int) -> Devices:
        """The devices of homes `first` up to `end`, whose homes are then counted from `first`."""
        mine = self.rows(np.flatnonzero((self.home >= first) & (self.home < end)))
        return replace(mine, home=(mine.home - first).astype(np.int32))


@dataclass(frozen=True, slots=True)
class SiteProblems:
    """S homes over T intervals.

    `hours` (T,), `net_load_kw` (S, T), `import_per_kwh` and `export_per_kwh` (K, T) for K tariffs, `tariff` (S,) int32
    row of each home's tariff, `coordination_per_kwh` (T,), `terminal_per_kwh` (S,), `stored_kwh` (S,) at the start.
    `net_load_kw` is before curtailment, of which `curtailable_kw` (S, T) ≥ 0 is possible.
    """

    hours: F64
    net_load_kw: F64
    import_per_kwh: F64
    export_per_kwh: F64
    tariff: I32
    coordination_per_kwh: F64
    terminal_per_kwh: F64
    stored_kwh: F64
    batteries: Batteries
    limits: VaryingLimits | None = None
    curtailable_kw: F64 | None = None
    devices: Devices | None = None

    @staticmethod
    def of(
        batteries: Batteries,
        net_load_kw: Values,
        *,
        hours: Values,
        import_per_kwh: Values,
        export_per_kwh: Values,
        stored_kwh: Values,
        tariff: Values | None = None,
        coordination_per_kwh: Values = 0.0,
        terminal_per_kwh: Values = 0.0,
        limits: VaryingLimits | None = None,
        curtailable_kw: Values | None = None,
        devices: Devices | None = None,
    ) -> SiteProblems:
        """The problem from (S, T) net load and columns that may be one number, a sequence or any array of numbers.

        `import_per_kwh` and `export_per_kwh` are one number, (T,) for all homes or (K, T) for K tariffs, of which
        `tariff` chooses: needed where K > 1. Prices of their own for all homes: `tariff=range(S)`.
        Raises `InvalidInput` where a column does not fit; `solve` checks the values.
        """
        shape = numbers("net_load_kw", net_load_kw).shape
        if len(shape) != 2:
            raise InvalidInput("shape of net_load_kw", shape, "must be (homes, intervals)")
        homes, intervals = shape
        tables = (numbers("import_per_kwh", import_per_kwh), numbers("export_per_kwh", export_per_kwh))
        tariffs = max(np.atleast_2d(prices).shape[0] for prices in tables)
        if tariff is None and tariffs > 1:
            raise InvalidInput("tariff", "none", f"must say which of the {tariffs} tariffs each home has")
        return SiteProblems(
            column("hours", hours, (intervals,)),
            column("net_load_kw", net_load_kw, shape),
            column("import_per_kwh", import_per_kwh, (tariffs, intervals)),
            column("export_per_kwh", export_per_kwh, (tariffs, intervals)),
            whole("tariff", 0 if tariff is None else tariff, homes),
            column("coordination_per_kwh", coordination_per_kwh, (intervals,)),
            column("terminal_per_kwh", terminal_per_kwh, (homes,)),
            column("stored_kwh", stored_kwh, (homes,)),
            batteries,
            limits,
            None if curtailable_kw is None else column("curtailable_kw", curtailable_kw, shape),
            devices,
        )

    @property
    def homes(self) -> int:
        """S."""
        return int(self.net_load_kw.shape[0])

    @property
    def intervals(self) -> int:
        """T."""
        return int(self.hours.shape[0])

    def rows(self, part: slice) -> SiteProblems:
        """The homes in `part` (step 1), sharing the tariffs and prices."""
        first, end, _ = part.indices(self.homes)
        return SiteProblems(
            self.hours, self.net_load_kw[part], self.import_per_kwh, self.export_per_kwh, self.tariff[part],
            self.coordination_per_kwh, self.terminal_per_kwh[part], self.stored_kwh[part], self.batteries.rows(part),
            None if self.limits is None else self.limits.rows(part),
            None if self.curtailable_kw is None else self.curtailable_kw[part],
            None if self.devices is None else self.devices.at(first, end),
        )  # fmt: skip

    def pick(self, homes: I64) -> SiteProblems:
        """The homes in `homes`, ascending, without their devices, sharing the tariffs and prices."""
        return SiteProblems(
            self.hours, self.net_load_kw[homes], self.import_per_kwh, self.export_per_kwh, self.tariff[homes],
            self.coordination_per_kwh, self.terminal_per_kwh[homes], self.stored_kwh[homes], self.batteries.rows(homes),
            None if self.limits is None else self.limits.rows(homes),
            None if self.curtailable_kw is None else self.curtailable_kw[homes],
        )  # fmt: skip


Table = TypeVar("Table", Batteries, VaryingLimits)


def _stacked(first: Table, second: Table) -> Table:
    """Both tables' rows, one after the other."""
    columns = ((getattr(first, each.name), getattr(second, each.name)) for each in fields(first))
    return type(first)(*(np.concatenate(pair) for pair in columns))


def numbers(name: str, values: Values) -> F64:
    """`values` as float64, of whatever shape."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(name, str(values)[:60], "must be a number or numbers") from error


def column(name: str, values: Values, shape: tuple[int, ...]) -> F64:
    """`values` as a float64 array of its own of `shape`."""
    given = numbers(name, values)
    try:
        return np.array(np.broadcast_to(given, shape), order="C")
    except ValueError as error:
        raise InvalidInput(f"shape of {name}", given.shape, f"must be {shape}, or one number for all") from error


def whole(name: str, values: Values, count: int) -> I32:
    """`values` as (count,) int32, none rounded."""
    given = column(name, values, (count,))
    if not (given == np.floor(given)).all():
        raise InvalidInput(name, str(values)[:60], "must be whole numbers")
    return given.astype(np.int32)
