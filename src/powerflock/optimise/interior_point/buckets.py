"""Homes with as many storages laid out together, every limit by interval: what the interior-point kernels read.

A home's own battery and its devices are alike here: storages. One without power, whose energy is within its limits
anyway, is left out. Must not know how they are solved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.optimise.check import constant_limits
from powerflock.optimise.problem import Batteries, SiteProblems, VaryingLimits


@dataclass(frozen=True, slots=True)
class Bucket:
    """N homes with D storages each.

    `homes` (N,) their rows in the problems, `storages` (N, D) rows in batteries and then devices (−1: none),
    `site` (N, 6, T) net load, import and export limits, curtailable, prices to buy and sell with the coordination
    price, `cells` (N, D, 4, T) limits of charge, discharge, floor and capacity, `rates` (N, D, 4) efficiencies in and
    out, wear and terminal value, `stored_kwh` (N, D), `constant` (N,) $ that no plan changes.
    """

    hours: F64
    homes: I64
    storages: I64
    site: F64
    cells: F64
    rates: F64
    stored_kwh: F64
    constant: F64

    def rows(self, part: slice) -> Bucket:
        """The homes in `part`."""
        return Bucket(self.hours, *(getattr(self, field.name)[part] for field in fields(self)[1:]))

    def cost(self, power_kw: F64, curtailed_kw: F64) -> F64:
        """(N,) $ of running the storages at `power_kw` (N, D, T) with `curtailed_kw` (N, T)."""
        net = self.site[:, 0] + power_kw.sum(axis=1) + curtailed_kw
        bill = ((np.maximum(net, 0) * self.site[:, 4] - np.maximum(-net, 0) * self.site[:, 5]) * self.hours).sum(axis=1)
        into, out = ((np.maximum(sign * power_kw, 0) * self.hours).sum(axis=2) for sign in (1.0, -1.0))
        left = self.stored_kwh + into * self.rates[:, :, 0] - out / self.rates[:, :, 1]
        storages = self.rates[:, :, 2] * (into + out) - self.rates[:, :, 3] * left
        return np.asarray(bill + storages.sum(axis=1) + self.constant)


def buckets(problems: SiteProblems, homes: I64) -> Iterator[Bucket]:
    """The homes of `homes`, each in the bucket of its number of storages; homes without any have one that is idle."""
    devices, count = problems.devices, problems.homes
    owner = np.arange(count) if devices is None else np.concatenate([np.arange(count), devices.home])
    alike = [(problems.batteries, problems.limits)]
    alike += [] if devices is None else [(devices.batteries, devices.limits)]
    stored = problems.stored_kwh if devices is None else np.concatenate([problems.stored_kwh, devices.stored_kwh])
    worth = problems.terminal_per_kwh
    worth = worth if devices is None else np.concatenate([worth, devices.terminal_per_kwh])
    kept = np.concatenate([_matters(*each) for each in alike]) | _astray(alike, stored)
    constant = np.zeros(count)
    np.subtract.at(constant, owner[~kept], (worth * stored)[~kept])
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    many = np.bincount(owner[rows], minlength=count)
    first = np.concatenate([[0], np.cumsum(many)])
    for size in np.unique(np.maximum(many[homes], 1)).tolist():
        mine = homes[np.maximum(many[homes], 1) == size]
        chosen = np.full((mine.size, size), -1)
        real = many[mine] > 0
        chosen[real] = rows[first[mine[real], None] + np.arange(size)]
        yield Bucket(
            problems.hours, mine, chosen, _site(problems, mine),
            _gather(np.stack([_storage_rows(alike, field, problems.intervals) for field in _LIMITS], axis=1), chosen),
            _gather(_rates(alike, worth), chosen, 1.0), _gather(stored, chosen), constant[mine],
        )  # fmt: skip


_LIMITS = ("charge_limit_kw", "discharge_limit_kw", "floor_kwh", "capacity_kwh")
_Alike = list[tuple[Batteries, VaryingLimits | None]]


def _matters(cells: Batteries, limits: VaryingLimits | None) -> np.ndarray:
    own = constant_limits(cells) if limits is None else limits
    return np.asarray((own.charge_limit_kw > 0).any(axis=1) | (own.discharge_limit_kw > 0).any(axis=1))


def _astray(alike: _Alike, stored: F64) -> np.ndarray:
    """(M,) storages whose energy, left alone, breaks a limit."""
    found, start = [], 0
    for cells, limits in alike:
        own = constant_limits(cells) if limits is None else limits
        energy = stored[start : start + cells.capacity_kwh.size, None]
        found.append(((energy < own.floor_kwh) | (energy > own.capacity_kwh)).any(axis=1))
        start += cells.capacity_kwh.size
    return np.concatenate(found)


def _storage_rows(alike: _Alike, name: str, intervals: int) -> F64:
    columns = [getattr(constant_limits(cells) if limits is None else limits, name) for cells, limits in alike]
    return np.concatenate([np.broadcast_to(values, (values.shape[0], intervals)) for values in columns])


def _rates(alike: _Alike, worth: F64) -> F64:
    names = ("charge_efficiency_ratio", "discharge_efficiency_ratio", "wear_per_kwh")
    columns = [np.concatenate([getattr(cells, name) for cells, _ in alike]) for name in names]
    return np.stack([*columns, worth], axis=1)


def _gather(values: F64, rows: I64, none: float = 0.0) -> F64:
    """`values` of the storages in `rows` (N, D); `none` where the row is −1."""
    found = np.ascontiguousarray(values[rows])
    found[rows < 0] = none
    return found


def _site(problems: SiteProblems, homes: I64) -> F64:
    """(N, 6, T) what concerns the homes' connection."""
    shape = (homes.size, problems.intervals)
    limits = constant_limits(problems.batteries) if problems.limits is None else problems.limits
    tariff, price = problems.tariff[homes], problems.coordination_per_kwh
    solar = np.zeros(shape) if problems.curtailable_kw is None else problems.curtailable_kw[homes]
    columns = (
        problems.net_load_kw[homes], limits.import_limit_kw[homes], limits.export_limit_kw[homes], solar,
        problems.import_per_kwh[tariff] + price, problems.export_per_kwh[tariff] + price,
    )  # fmt: skip
    return np.stack([np.broadcast_to(values, shape) for values in columns], axis=1)
