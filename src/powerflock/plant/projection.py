"""Where homes that went silent are taken to be: each goes on as its edge does, on what is expected of load and sun.

Invariants: as the edge's ladder has it, a command that the edge confirmed holds until it expires, then the policy that
the home was last sent, then self-consumption; a battery moves within its limits, between reserve and full pack, and its
energy is carried from turn to turn from the last that was read. A home that is heard again, or never was, is left as it
is. What of the net load is sun is not known, so that nobody learns from a guess. The doubt about it is the estimate's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from powerflock.domain.arrays import F64, I64, Bools
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.policy import Policy
from powerflock.domain.policy_columns import PolicyColumns
from powerflock.optimise.problem import Batteries
from powerflock.optimise.respond import stored_change
from powerflock.plant.policies import PolicyBatch
from powerflock.twins.columns import Shard, applied_kw
from powerflock.twins.estimate import Freshness, SiteColumns


def _none() -> F64:
    return np.zeros(0)


@dataclass(slots=True)
class Projection:
    """Silent homes: (S,) energy stored, net register and the powers held since `last_us`; NaN for the other homes.

    `sent` are the newest policies, `policies` those that silent homes hold: what they were sent while in reach.
    """

    stored_kwh: F64 = field(default_factory=_none)
    register_kwh: F64 = field(default_factory=_none)
    battery_kw: F64 = field(default_factory=_none)
    meter_kw: F64 = field(default_factory=_none)
    last_us: int = -1
    policies: PolicyColumns = field(default_factory=lambda: PolicyColumns(0))
    sent: PolicyBatch | None = None
    sent_row: dict[int, int] = field(default_factory=dict)

    def grow(self, sites: int) -> None:
        """Rows for sites enrolled since."""
        for name in ("stored_kwh", "register_kwh", "battery_kw", "meter_kw"):
            column = getattr(self, name)
            setattr(self, name, np.pad(column, (0, sites - column.size), constant_values=np.nan))
        self.policies.grow(sites)

    def send(self, batch: PolicyBatch) -> None:
        """These policies go out; homes that are silent now keep what they have."""
        self.sent, self.sent_row = batch, {row: index for index, row in enumerate(batch.rows)}


def away(columns: SiteColumns) -> Bools:
    """(S,) sites that are silent and were heard once."""
    return np.asarray((columns.freshness == Freshness.SILENT) & np.isfinite(columns.meter_kw))


def project(
    projection: Projection, shard: Shard, columns: SiteColumns, silent: Bools, net_load_kw: F64, cells: Batteries,
    now_us: int, hold_us: int,
) -> SiteColumns:  # fmt: skip
    """The columns with the `silent` (S,) homes carried to `now_us`: what is expected of them is `net_load_kw` (S,).

    `cells` are the batteries of all sites; powers are decided for the `hold_us` that come.
    """
    _carry(projection, columns, silent, cells, now_us)
    rows = np.flatnonzero(silent)
    power_kw = _battery_kw(projection, shard, rows, net_load_kw, cells, now_us, hold_us)
    projection.battery_kw[:], projection.meter_kw[:] = np.nan, np.nan
    projection.battery_kw[rows], projection.meter_kw[rows] = power_kw, net_load_kw[rows] + power_kw
    nan = np.full(rows.size, np.nan)
    return replace(
        columns,
        meter_kw=_with(columns.meter_kw, rows, net_load_kw[rows] + power_kw),
        battery_kw=_with(columns.battery_kw, rows, power_kw),
        net_load_kw=_with(columns.net_load_kw, rows, net_load_kw[rows]),
        load_kw=_with(columns.load_kw, rows, nan),
        solar_kw=_with(columns.solar_kw, rows, nan),
        stored_kwh=_with(columns.stored_kwh, rows, projection.stored_kwh[rows]),
        register_kwh=_with(columns.register_kwh, rows, projection.register_kwh[rows]),
    )


def rest(projection: Projection, now_us: int) -> None:
    """No home is silent."""
    _let_go(projection, np.zeros(projection.meter_kw.size, np.bool_))
    projection.battery_kw[:], projection.meter_kw[:] = np.nan, np.nan
    projection.last_us = now_us


def _let_go(projection: Projection, silent: Bools) -> None:
    """Homes that are heard again hold what they are sent."""
    for row in np.flatnonzero(projection.policies.held & ~silent).tolist():
        projection.policies.hold(row, None)


def _carry(projection: Projection, columns: SiteColumns, silent: Bools, cells: Batteries, now_us: int) -> None:
    """Silent homes go on to `now_us` at the powers held; those silent only now start from `columns`."""
    _let_go(projection, silent)
    running = silent & np.isfinite(projection.meter_kw)
    for row in np.flatnonzero(silent & ~running).tolist():
        index = projection.sent_row.get(row)
        if projection.sent is not None and index is not None:
            projection.policies.hold(row, Policy.from_bytes(projection.sent.payloads[index]))
    hours = max(now_us - projection.last_us, 0) / MICROS_PER_HOUR
    stored = projection.stored_kwh + stored_change(cells, projection.battery_kw, hours)
    low = np.minimum(cells.floor_kwh, projection.stored_kwh)
    stored = np.clip(stored, low, np.maximum(columns.capacity_kwh, low))
    register = projection.register_kwh + projection.meter_kw * hours
    projection.stored_kwh = np.where(running, stored, np.where(silent, columns.stored_kwh, np.nan))
    projection.register_kwh = np.where(running, register, np.where(silent, columns.register_kwh, np.nan))
    projection.last_us = now_us


def _battery_kw(
    projection: Projection, shard: Shard, rows: I64, net_load_kw: F64, cells: Batteries, now_us: int, hold_us: int
) -> F64:
    """(R,) what the batteries of the homes `rows` do for `hold_us`."""
    wanted: Bools = np.zeros(net_load_kw.size, np.bool_)
    wanted[rows] = True
    stored_kwh, load_kw = np.nan_to_num(projection.stored_kwh), net_load_kw[rows]
    planned = projection.policies.power_kw(wanted, now_us, stored_kwh, net_load_kw, hold_us)[rows]
    own = np.where(np.isnan(planned), -load_kw, planned)
    sites = shard.sites[rows]
    held = np.where(sites["expires_us"] > now_us, applied_kw(sites), np.nan)
    asked = np.where(np.isnan(held), own, held - load_kw)
    here, hours = cells.rows(rows), hold_us / MICROS_PER_HOUR
    room = np.maximum(here.capacity_kwh - stored_kwh[rows], 0.0) / here.charge_efficiency_ratio / hours
    left = np.maximum(stored_kwh[rows] - here.floor_kwh, 0.0) * here.discharge_efficiency_ratio / hours
    return np.clip(asked, -np.minimum(here.discharge_limit_kw, left), np.minimum(here.charge_limit_kw, room))


def _with(column: F64, rows: I64, values: F64) -> F64:
    changed = column.copy()
    changed[rows] = values
    return changed
