"""The site problem for a batch of homes, as columns, with its checks.

Passive signs. Home i over T intervals of `hours[t]`: net load n (load + solar), import price a ≥ export price b, the
coordination price λ added to both, battery power p in [−discharge, charge] and within the connection's limits on
n + p, stored energy in [floor, capacity]. Minimise bill + wear·|p| − terminal·(energy left).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import InvalidInput

Values: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[np.generic]
"""What a column may be built from: one number for all, or as many as there are."""


@dataclass(frozen=True, slots=True)
class Batteries:
    """Battery and connection of S homes, each (S,) float64. A home without battery has zero limits and capacity."""

    charge_limit_kw: F64
    discharge_limit_kw: F64
    charge_efficiency_ratio: F64
    discharge_efficiency_ratio: F64
    wear_per_kwh: F64
    floor_kwh: F64
    capacity_kwh: F64
    import_limit_kw: F64
    export_limit_kw: F64

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
    ) -> Batteries:
        """`homes` batteries, each column one number for all or (S,) numbers; `InvalidInput` where it is neither."""
        given = locals()
        return Batteries(*(_column(field.name, given[field.name], (homes,)) for field in fields(Batteries)))

    def rows(self, part: slice) -> Batteries:
        """The homes in `part`."""
        return Batteries(*(getattr(self, field.name)[part] for field in fields(self)))

    def stacked(self) -> F64:
        """(S, 9) float64, C order, columns in the order of the fields: what the kernels read."""
        return np.ascontiguousarray(np.stack([getattr(self, field.name) for field in fields(self)], axis=1))


@dataclass(frozen=True, slots=True)
class SiteProblems:
    """S homes over T intervals.

    `hours` (T,), `net_load_kw` (S, T), `import_per_kwh` and `export_per_kwh` (K, T) for K tariffs, `tariff` (S,) int32
    row of each home's tariff, `coordination_per_kwh` (T,), `terminal_per_kwh` (S,), `stored_kwh` (S,) at the start.
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

    @staticmethod
    def of(
        batteries: Batteries,
        net_load_kw: Values,
        *,
        hours: Values,
        import_per_kwh: Values,
        export_per_kwh: Values,
        stored_kwh: Values,
        tariff: Values = 0,
        coordination_per_kwh: Values = 0.0,
        terminal_per_kwh: Values = 0.0,
    ) -> SiteProblems:
        """The problem from (S, T) net load and columns that may be one number, a sequence or any array of numbers.

        `import_per_kwh` and `export_per_kwh` are one number, (T,) for all homes or (K, T) for K tariffs, of which
        `tariff` chooses. Raises `InvalidInput` where a column does not fit; `solve` checks the values.
        """
        shape = np.shape(net_load_kw)
        if len(shape) != 2:
            raise InvalidInput("shape of net_load_kw", shape, "must be (homes, intervals)")
        homes, intervals = shape
        tariffs = max(np.atleast_2d(np.asarray(prices)).shape[0] for prices in (import_per_kwh, export_per_kwh))
        return SiteProblems(
            _column("hours", hours, (intervals,)),
            _column("net_load_kw", net_load_kw, shape),
            _column("import_per_kwh", import_per_kwh, (tariffs, intervals)),
            _column("export_per_kwh", export_per_kwh, (tariffs, intervals)),
            _rows(tariff, homes),
            _column("coordination_per_kwh", coordination_per_kwh, (intervals,)),
            _column("terminal_per_kwh", terminal_per_kwh, (homes,)),
            _column("stored_kwh", stored_kwh, (homes,)),
            batteries,
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
        """The homes in `part`, sharing the tariffs and prices."""
        return SiteProblems(
            self.hours, self.net_load_kw[part], self.import_per_kwh, self.export_per_kwh, self.tariff[part],
            self.coordination_per_kwh, self.terminal_per_kwh[part], self.stored_kwh[part], self.batteries.rows(part),
        )  # fmt: skip


def _column(name: str, values: Values, shape: tuple[int, ...]) -> F64:
    """`values` as a float64 array of its own of `shape`."""
    try:
        given = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(name, str(values)[:60], "must be a number or numbers") from error
    try:
        return np.array(np.broadcast_to(given, shape), order="C")
    except ValueError as error:
        raise InvalidInput(f"shape of {name}", given.shape, f"must be {shape}, or one number for all") from error


def _rows(values: Values, homes: int) -> I32:
    """`values` as (S,) int32, none rounded."""
    given = _column("tariff", values, (homes,))
    if not (given == np.floor(given)).all():
        raise InvalidInput("tariff", str(values)[:60], "must be whole numbers, rows of the tariffs")
    return given.astype(np.int32)


def check_problems(problems: SiteProblems) -> None:
    """Refuse wrong shapes, unknown values and inverted limits with `InvalidInput` naming the home and the field."""
    _check_shapes(problems)
    homes = {
        "net_load_kw": problems.net_load_kw,
        "terminal_per_kwh": problems.terminal_per_kwh,
        "stored_kwh": problems.stored_kwh,
    } | {field.name: getattr(problems.batteries, field.name) for field in fields(Batteries)}
    for name, values in homes.items():
        _refuse(name, values, ~np.isfinite(values), "must be a finite number")
    for name in ("hours", "import_per_kwh", "export_per_kwh", "coordination_per_kwh"):
        if not np.isfinite(getattr(problems, name)).all():
            raise InvalidInput(name, "NaN or infinite", "must be finite in every interval")
    if not (problems.hours > 0).all():
        raise InvalidInput("hours", float(problems.hours.min()), "every interval must be longer than 0")
    cells = problems.batteries
    for name in ("charge_limit_kw", "discharge_limit_kw", "wear_per_kwh", "import_limit_kw", "export_limit_kw"):
        _refuse(name, getattr(cells, name), getattr(cells, name) < 0, "must be 0 or more")
    for name in ("charge_efficiency_ratio", "discharge_efficiency_ratio"):
        values = getattr(cells, name)
        _refuse(name, values, (values <= 0) | (values > 1), "must be above 0 and at most 1")
    _refuse("floor_kwh", cells.floor_kwh, cells.floor_kwh > cells.capacity_kwh, "must not exceed capacity_kwh")
    outside = (problems.stored_kwh < cells.floor_kwh - 1e-9) | (problems.stored_kwh > cells.capacity_kwh + 1e-9)
    _refuse("stored_kwh", problems.stored_kwh, outside, "must lie between floor_kwh and capacity_kwh")


def _check_shapes(problems: SiteProblems) -> None:
    homes, intervals = problems.homes, problems.intervals
    expected: dict[str, tuple[int, ...]] = {
        "net_load_kw": (homes, intervals),
        "import_per_kwh": (problems.export_per_kwh.shape[0], intervals),
        "export_per_kwh": (problems.import_per_kwh.shape[0], intervals),
        "tariff": (homes,),
        "coordination_per_kwh": (intervals,),
        "terminal_per_kwh": (homes,),
        "stored_kwh": (homes,),
    }
    shapes = {name: getattr(problems, name).shape for name in ("hours", *expected)}
    types = {name: getattr(problems, name).dtype for name in ("hours", *expected)}
    for field in fields(Batteries):
        expected[field.name], shapes[field.name] = (homes,), getattr(problems.batteries, field.name).shape
        types[field.name] = getattr(problems.batteries, field.name).dtype
    for name, dtype in types.items():
        wanted = np.dtype(np.int32 if name == "tariff" else np.float64)
        if dtype != wanted:
            raise InvalidInput(f"dtype of {name}", str(dtype), f"must be {wanted}", "Build it with `of`: it converts.")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise InvalidInput(
                f"shape of {name}", shapes[name], f"must be {shape} for {homes} homes, {intervals} intervals"
            )
    if homes and not 0 <= problems.tariff.min() <= problems.tariff.max() < problems.import_per_kwh.shape[0]:
        raise InvalidInput(
            "tariff", int(problems.tariff.max()), f"must be a row of the {problems.import_per_kwh.shape[0]} tariffs"
        )


def _refuse(field: str, values: F64, bad: np.ndarray, bound: str) -> None:
    if bad.any():
        where = np.unravel_index(int(bad.argmax()), bad.shape)
        place = f"home {where[0]}" + (f", interval {where[1]}" if len(where) > 1 else "")
        raise InvalidInput(f"{place}: {field}", float(values[where]), bound)
