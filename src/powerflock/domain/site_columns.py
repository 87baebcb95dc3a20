"""Specs as columns, by site and by device: a takeover makes those of a whole partition at once.

Invariants: the devices of `device_columns` are those of `SiteSpec.nameplates`, one by one. Must not know the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from powerflock.domain.arrays import F32, F64, I32, I64, U8
from powerflock.domain.columns import DeviceKind
from powerflock.domain.site import BatterySpec, Nameplate, SiteSpec

TableColumn: TypeAlias = I32 | U8 | F32 | F64

SPEC_COLUMNS = (
    "capacity_kwh",
    "charge_limit_kw",
    "discharge_limit_kw",
    "charge_efficiency_ratio",
    "discharge_efficiency_ratio",
    "reserve_kwh",
    "import_limit_kw",
    "export_limit_kw",
)
"""A site's own columns, of all its batteries together."""
_DEVICE_DTYPES = {
    "device_kind": np.uint8,
    "device_period_s": np.float32,
    "device_capacity_kwh": np.float32,
    "device_charge_limit_kw": np.float32,
    "device_discharge_limit_kw": np.float32,
}
_NO_BATTERY = BatterySpec(0.0, 0.0, 0.0, 1.0, 1.0, 0.0)


class DeviceColumns(NamedTuple):
    """D devices of S specs, spec after spec in the order of their nameplates: the `columns` (D,) by name.

    `spec` (D,) is whose device it is, `place` (D,) which of its spec's.
    """

    spec: I64
    place: I64
    columns: dict[str, TableColumn]


def spec_columns(specs: Sequence[SiteSpec]) -> dict[str, TableColumn]:
    """(S,) float64 columns of `SPEC_COLUMNS`; without a battery capacity and limits are exactly 0."""
    stored = [spec.storage or _NO_BATTERY for spec in specs]
    columns: dict[str, TableColumn] = {name: _values(stored, name) for name in SPEC_COLUMNS[:5]}
    columns["reserve_kwh"] = _values(stored, "reserve_ratio") * columns["capacity_kwh"]
    return columns | {name: _values(specs, name) for name in SPEC_COLUMNS[6:]}


def device_columns(specs: Sequence[SiteSpec]) -> DeviceColumns:
    """The devices of `specs`: kinds, nameplates and how often they report."""
    solar_kw, battery = _values(specs, "solar_kw"), np.array([spec.battery is not None for spec in specs], np.bool_)
    solar, more = solar_kw > 0.0, np.array([len(spec.devices) for spec in specs], np.int64)
    counts = battery.astype(np.int64) + solar + 1 + more
    start = np.cumsum(counts) - counts
    spec = np.repeat(np.arange(counts.size), counts)
    columns: dict[str, TableColumn] = {name: np.zeros(spec.size, dtype) for name, dtype in _DEVICE_DTYPES.items()}
    columns["device_period_s"][:] = _values(specs, "report_period_s")[spec]

    meter = start + battery + solar
    columns["device_kind"][meter] = DeviceKind.METER
    columns["device_kind"][meter[solar] - 1] = DeviceKind.SOLAR
    columns["device_discharge_limit_kw"][meter[solar] - 1] = solar_kw[solar]
    columns["device_kind"][start[battery]] = DeviceKind.BATTERY
    batteries = [spec.battery for spec in specs if spec.battery is not None]
    for name in ("capacity_kwh", "charge_limit_kw", "discharge_limit_kw"):
        columns[f"device_{name}"][start[battery]] = _values(batteries, name)
    for row in np.flatnonzero(more).tolist():
        _put(columns, int(meter[row]) + 1, specs[row].nameplates()[-int(more[row]) :])
    return DeviceColumns(spec, np.arange(spec.size) - start[spec], columns)


def _put(columns: dict[str, TableColumn], first: int, plates: Sequence[Nameplate]) -> None:
    """Devices beyond a site's first battery, its roof and its meter: few have any."""
    for place, plate in enumerate(plates, first):
        for name, value in zip(_DEVICE_DTYPES, plate[1:], strict=True):
            columns[name][place] = value


def _values(of: Sequence[SiteSpec | BatterySpec], name: str) -> F64:
    return np.array([getattr(each, name) for each in of], np.float64)
