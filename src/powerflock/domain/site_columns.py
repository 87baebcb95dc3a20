"""Specs and nameplates as columns: one pass over the objects of an enrolment, never over a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from powerflock.domain.arrays import F32, F64, I32, U8
from powerflock.domain.site import Nameplate, SiteSpec

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
_PLATE_COLUMNS = ("device_period_s", "device_capacity_kwh", "device_charge_limit_kw", "device_discharge_limit_kw")


def spec_columns(specs: Sequence[SiteSpec]) -> dict[str, TableColumn]:
    """(S,) float64 columns of `SPEC_COLUMNS`; without a battery capacity and limits are exactly 0."""
    rows = np.array([_spec_row(spec) for spec in specs], np.float64).reshape(-1, len(SPEC_COLUMNS))
    return dict(zip(SPEC_COLUMNS, rows.T, strict=True))


def plate_columns(plates: Sequence[Nameplate]) -> dict[str, TableColumn]:
    """(D,) columns of the devices with these nameplates."""
    numbers = np.array([plate[2:] for plate in plates], np.float32).reshape(-1, len(_PLATE_COLUMNS)).T
    columns: dict[str, TableColumn] = dict(zip(_PLATE_COLUMNS, numbers, strict=True))
    return columns | {"device_kind": np.array([plate.kind for plate in plates], np.uint8)}


def _spec_row(spec: SiteSpec) -> tuple[float, ...]:
    limits = (spec.import_limit_kw, spec.export_limit_kw)
    battery = spec.storage
    if battery is None:
        return (0.0, 0.0, 0.0, 1.0, 1.0, 0.0, *limits)
    return (
        battery.capacity_kwh,
        battery.charge_limit_kw,
        battery.discharge_limit_kw,
        battery.charge_efficiency_ratio,
        battery.discharge_efficiency_ratio,
        battery.reserve_ratio * battery.capacity_kwh,
        *limits,
    )
