"""The site problem for a batch of homes, as columns, with its checks.

Passive signs. Home i over T intervals of `hours[t]`: net load n (load + solar), import price a ≥ export price b, the
coordination price λ added to both, battery power p in [−discharge, charge] and within the connection's limits on
n + p, stored energy in [floor, capacity]. Minimise bill + wear·|p| − terminal·(energy left).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from powerflock.domain.arrays import F64, I32
from powerflock.domain.errors import InvalidInput


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
    shapes = {name: getattr(problems, name).shape for name in expected}
    for field in fields(Batteries):
        expected[field.name], shapes[field.name] = (homes,), getattr(problems.batteries, field.name).shape
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
