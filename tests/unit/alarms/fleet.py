"""Fleets for the tests of alarms: where sites are and what they share is drawn from a seed, what they do is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt

from powerflock.alarms import Alarm, AlarmSettings, AlarmState, Change, watch
from powerflock.domain.arrays import Bools, Records
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.registry import TABLE_COLUMNS, Place, SiteTable
from powerflock.twins.columns import untold
from powerflock.twins.estimate import Freshness, SiteColumns

NOW_US = 1_770_000_000_000_000
REGIONS = ("north", "east", "south", "west")
AT_ONCE = replace(AlarmSettings(), settle_us=0)
"""The defaults, but that dropout is told from the start."""


def table_at(places: Sequence[Place], place: npt.ArrayLike) -> SiteTable:
    """A table of sites at these rows of `places`, each with a 10 kWh battery of 5 kW, 1 kWh of it in reserve."""
    rows = np.asarray(place, np.int32)
    columns = {name: np.zeros(rows.size, dtype) for name, dtype in TABLE_COLUMNS.items()}
    columns |= {
        "place": rows,
        "meter_device": np.arange(rows.size),
        "capacity_kwh": np.full(rows.size, 10.0),
        "reserve_kwh": np.full(rows.size, 1.0),
        "charge_limit_kw": np.full(rows.size, 5.0),
        "discharge_limit_kw": np.full(rows.size, 5.0),
    }
    return SiteTable.of(columns, places)


def network(sites: int, seed: int, *, feeders: int = 10) -> SiteTable:
    """Sites on `feeders` of each of four regions, with providers, firmware and gateways spread over all of them."""
    rng = np.random.default_rng(seed)
    every = [
        Place(region, f"f{feeder}", (), sets, f"gw{gateway}", provider, firmware)
        for region in REGIONS
        for feeder in range(feeders)
        for gateway, provider, firmware, sets in zip(
            rng.integers(0, 3, 6).tolist(),
            ("telco-a", "telco-b", "telco-c") * 2,
            ("1.0", "1.1", "2.0", "1.0", "2.0", "1.1"),
            ((), ("vip",), (), (), ("vip",), ()),
            strict=True,
        )
    ]
    return table_at(every, rng.integers(0, len(every), sites))


def members(table: SiteTable, **of: str) -> Bools:
    """(S,) the sites whose place has these fields, e.g. `region="west"`."""
    chosen = [all(getattr(place, name) == value for name, value in of.items()) for place in table.places]
    mask: Bools = np.array(chosen, np.bool_)[table.place]
    return mask


def seen(table: SiteTable, **columns: npt.ArrayLike) -> SiteColumns:
    """Sites half full at rest, all fresh, but for the `columns` given."""
    idle = {item.name: np.zeros(table.sites) for item in fields(SiteColumns)}
    known = idle | {
        "stored_kwh": np.full(table.sites, 5.0),
        "capacity_kwh": np.full(table.sites, 10.0),
        "charge_limit_kw": np.full(table.sites, 5.0),
        "discharge_limit_kw": np.full(table.sites, 5.0),
        "freshness": np.zeros(table.sites, np.uint8),
        "reachable": np.ones(table.sites, np.bool_),
    }
    given = {name: np.asarray(column) for name, column in columns.items()}
    return replace(SiteColumns(**(known | given | {"table": table, "common_ratio": 0.0})), table=table)


def without(table: SiteTable, lost: Bools) -> SiteColumns:
    """All sites fresh but the `lost`."""
    return seen(table, freshness=np.where(lost, Freshness.STALE, Freshness.FRESH).astype(np.uint8))


def told(sites: int, setpoint_kw: npt.ArrayLike, seq: int = 1) -> Records:
    """Every edge confirmed command `seq` of these setpoints, in force for ever; NaN: nothing was commanded."""
    rows = untold(sites)
    setpoint = np.broadcast_to(np.asarray(setpoint_kw, np.float64), sites)
    rows["desired_seq"] = rows["answered_seq"] = np.where(np.isnan(setpoint), -1, seq)
    rows["desired_kw"], rows["expires_us"] = setpoint, 2**62
    rows["answer"] = ~np.isnan(setpoint)
    return rows


class Watcher:
    """Calls `watch` on one partition again and again, some seconds apart."""

    def __init__(self, settings: AlarmSettings = AT_ONCE) -> None:
        self.settings, self.state, self.now_us = settings, AlarmState.empty(1), NOW_US

    def see(self, columns: SiteColumns, sites: Records | None = None, after_s: float = 1.0) -> Change:
        self.now_us += round(after_s * MICROS_PER_S)
        rows = untold(columns.table.sites) if sites is None else sites
        return watch(self.state, [columns], [rows], self.now_us, self.settings)

    @property
    def active(self) -> tuple[Alarm, ...]:
        return self.state.book.active


def ids(alarms: Sequence[Alarm]) -> list[str]:
    return [alarm.id for alarm in alarms]
