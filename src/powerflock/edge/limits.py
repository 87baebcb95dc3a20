"""What was set when each home was commissioned, as columns: the cloud can ask for less than this, never for more.

Invariants: one row per home, in the order of the specs given; a home without a battery has zero capacity and limits.
Must not know the network, telemetry or who sends commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.site import BatterySpec, SiteSpec

_NO_BATTERY = BatterySpec(0.0, 0.0, 0.0, reserve_ratio=0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """(S,) float64 columns: full-pack energy, nameplate power, efficiencies, the owner's reserve, the connection."""

    capacity_kwh: F64
    reserve_kwh: F64
    charge_limit_kw: F64
    discharge_limit_kw: F64
    charge_efficiency_ratio: F64
    discharge_efficiency_ratio: F64
    import_limit_kw: F64
    export_limit_kw: F64

    @staticmethod
    def of(specs: Sequence[SiteSpec]) -> Limits:
        """Columns of `specs`, in their order."""
        batteries = [spec.battery or _NO_BATTERY for spec in specs]

        def column(values: list[float]) -> F64:
            return np.array(values, dtype=np.float64)

        return Limits(
            capacity_kwh=column([b.capacity_kwh for b in batteries]),
            reserve_kwh=column([b.capacity_kwh * b.reserve_ratio for b in batteries]),
            charge_limit_kw=column([b.charge_limit_kw for b in batteries]),
            discharge_limit_kw=column([b.discharge_limit_kw for b in batteries]),
            charge_efficiency_ratio=column([b.charge_efficiency_ratio for b in batteries]),
            discharge_efficiency_ratio=column([b.discharge_efficiency_ratio for b in batteries]),
            import_limit_kw=column([spec.import_limit_kw for spec in specs]),
            export_limit_kw=column([spec.export_limit_kw for spec in specs]),
        )
