"""Which homes of a batch are sound: shapes and shared prices are refused for all, a bad home only for itself.

Invariant: a home without a fault has finite columns, limits that are not inverted and efficiencies in (0, 1].
Must not know how plans are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from powerflock.domain.arrays import F64, I32, Bools
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits

_SLACK = 1e-9
_LIMITS = (
    "charge_limit_kw", "discharge_limit_kw", "wear_per_kwh", "import_limit_kw", "export_limit_kw",
    "least_charge_kw", "least_discharge_kw",
)  # fmt: skip
_RATIOS = ("charge_efficiency_ratio", "discharge_efficiency_ratio")
_NOT_NEGATIVE, _FINITE = "must be 0 or more", "must be a finite number"

Rule = tuple[str, F64, Bools, str]
"""A field's name, its values, where they break the rule, and the bound."""


def check_problems(problems: SiteProblems) -> None:
    """Refuse wrong shapes, unknown values and inverted limits with `InvalidInput` naming the home and the field."""
    for _, error in sorted(faults(problems).items()):
        raise error


def faults(problems: SiteProblems) -> dict[int, InvalidInput]:
    """The homes whose columns are unsound, with the first thing wrong with each; empty when all are sound.

    Raises `InvalidInput` for what concerns all homes: shapes, types, durations and prices.
    """
    _check_shapes(problems)
    _check_shared(problems)
    found: dict[int, InvalidInput] = {}
    own = (("net_load_kw", problems.net_load_kw), ("terminal_per_kwh", problems.terminal_per_kwh))
    for name, values in own:
        _note(found, (name, values, _unknown(values), _FINITE))
    for rule in _rules(problems.batteries, problems.limits, problems.stored_kwh):
        _note(found, rule)
    if problems.curtailable_kw is not None:
        solar = problems.curtailable_kw
        _note(found, ("curtailable_kw", solar, ~(np.isfinite(solar) & (solar >= 0)), "must be finite and 0 or more"))
    if problems.devices is not None:
        devices = problems.devices
        terminal = devices.terminal_per_kwh
        _note(found, ("terminal_per_kwh", terminal, _unknown(terminal), _FINITE), devices.home)
        for rule in _rules(devices.batteries, devices.limits, devices.stored_kwh):
            _note(found, rule, devices.home)
    return found


def _unknown(values: F64) -> Bools:
    """Where `values` are NaN or infinite; the sum is tried first, for all are nearly always sound and that is fast."""
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(values.sum()):
            return np.zeros(values.shape, np.bool_)
    return ~np.isfinite(values)


def _rules(cells: Batteries, limits: VaryingLimits | None, stored_kwh: F64) -> Iterator[Rule]:
    for field in fields(Batteries):
        yield field.name, getattr(cells, field.name), _unknown(getattr(cells, field.name)), _FINITE
    for name in _LIMITS:
        yield name, getattr(cells, name), getattr(cells, name) < 0, _NOT_NEGATIVE
    for name in _RATIOS:
        values = getattr(cells, name)
        yield name, values, (values <= 0) | (values > 1), "must be above 0 and at most 1"
    yield "floor_kwh", cells.floor_kwh, cells.floor_kwh > cells.capacity_kwh, "must not exceed capacity_kwh"
    yield "stored_kwh", stored_kwh, _unknown(stored_kwh), _FINITE
    if limits is None:
        outside = (stored_kwh < cells.floor_kwh - _SLACK) | (stored_kwh > cells.capacity_kwh + _SLACK)
        yield "stored_kwh", stored_kwh, outside, "must lie between floor_kwh and capacity_kwh"
        return
    for name in ("charge_limit_kw", "discharge_limit_kw", "import_limit_kw", "export_limit_kw"):
        values = getattr(limits, name)
        yield f"limits.{name}", values, ~(values >= 0) | np.isinf(values), "must be finite and 0 or more"
    for name in ("floor_kwh", "capacity_kwh"):
        yield f"limits.{name}", getattr(limits, name), _unknown(getattr(limits, name)), _FINITE
    inverted = limits.floor_kwh > limits.capacity_kwh + _SLACK
    yield "limits.floor_kwh", limits.floor_kwh, inverted, "must not exceed limits.capacity_kwh"


def _note(found: dict[int, InvalidInput], rule: Rule, home: I32 | None = None) -> None:
    """Add the homes that break `rule` and have no fault yet; `home` says whose each row is, if not its own."""
    name, values, bad, bound = rule
    if not bad.any():
        return
    for row in np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1)).tolist():
        owner = row if home is None else int(home[row])
        if owner in found:
            continue
        place = f"home {owner}" + ("" if home is None else f", device {row}")
        value = values[row]
        if bad.ndim > 1:
            interval = int(bad[row].argmax())
            place, value = f"{place}, interval {interval}", values[row, interval]
        found[owner] = InvalidInput(f"{place}: {name}", float(value), bound)


def _check_shared(problems: SiteProblems) -> None:
    for name in ("hours", "import_per_kwh", "export_per_kwh", "coordination_per_kwh"):
        if not np.isfinite(getattr(problems, name)).all():
            raise InvalidInput(name, "NaN or infinite", "must be finite in every interval")
    if not (problems.hours > 0).all():
        raise InvalidInput("hours", float(problems.hours.min()), "every interval must be longer than 0")
    rows = problems.import_per_kwh.shape[0]
    _check_index("tariff", problems.tariff, rows, f"must be a row of the {rows} tariffs")
    if problems.devices is not None:
        _check_index(
            "devices.home", problems.devices.home, problems.homes, f"must be one of the {problems.homes} homes"
        )


def _check_index(name: str, index: I32, count: int, bound: str) -> None:
    bad = (index < 0) | (index >= count)
    if bad.any():
        raise InvalidInput(name, int(index[bad.argmax()]), bound)


def _check_shapes(problems: SiteProblems) -> None:
    homes, intervals = problems.homes, problems.intervals
    table = (homes, intervals)
    _expect("hours", problems.hours, (intervals,))
    _expect("net_load_kw", problems.net_load_kw, table)
    _expect("import_per_kwh", problems.import_per_kwh, (problems.export_per_kwh.shape[0], intervals))
    _expect("export_per_kwh", problems.export_per_kwh, (problems.import_per_kwh.shape[0], intervals))
    _expect("tariff", problems.tariff, (homes,), np.int32)
    _expect("coordination_per_kwh", problems.coordination_per_kwh, (intervals,))
    _expect("terminal_per_kwh", problems.terminal_per_kwh, (homes,))
    _expect("stored_kwh", problems.stored_kwh, (homes,))
    _check_storages(problems.batteries, problems.limits, table, "")
    if problems.curtailable_kw is not None:
        _expect("curtailable_kw", problems.curtailable_kw, table)
    if problems.devices is not None:
        devices = problems.devices
        rows = int(devices.home.size)
        _expect("devices.home", devices.home, (rows,), np.int32)
        _expect("devices.stored_kwh", devices.stored_kwh, (rows,))
        _expect("devices.terminal_per_kwh", devices.terminal_per_kwh, (rows,))
        _check_storages(devices.batteries, devices.limits, (rows, intervals), "devices.")


def _check_storages(cells: Batteries, limits: VaryingLimits | None, table: tuple[int, int], prefix: str) -> None:
    for field in fields(Batteries):
        _expect(prefix + field.name, getattr(cells, field.name), table[:1])
    for field in fields(VaryingLimits) if limits is not None else ():
        _expect(f"{prefix}limits.{field.name}", getattr(limits, field.name), table)


def _expect(name: str, values: np.ndarray, shape: tuple[int, ...], dtype: type = np.float64) -> None:
    if values.dtype != np.dtype(dtype):
        bound = f"must be {np.dtype(dtype)}"
        raise InvalidInput(f"dtype of {name}", str(values.dtype), bound, "Build it with `of`: it converts.")
    if values.shape != shape:
        raise InvalidInput(f"shape of {name}", values.shape, f"must be {shape} for these homes and intervals")
