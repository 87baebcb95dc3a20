"""What the API says of groups, as msgspec Structs; as `models`: passive kW and kWh, unknown is null.

Must not know FastAPI or where the numbers come from.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from powerflock.api.models import Coverage, Number

LevelName = Literal["portfolio", "region", "area", "feeder", "set"]


class GroupRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One group; parents precede children, `depth` is the steps below the portfolio; a set has neither.

    `up_kw` and `down_kw` ≥ 0 can be relied on for five minutes, `raise_kw` and `lower_kw` for one: the headroom for a
    frequency reserve. `firm_..._kw` are what is left of the former after the failure that costs most, `worst_failure`,
    null where none takes anything. `..._h` say how long the energy carries `up_kw` and `down_kw`.
    """

    group: str
    parent: str | None
    level: LevelName
    depth: int
    sites: int
    unreachable: int
    power_kw: Number
    std_kw: Number
    stored_kwh: Number
    capacity_kwh: Number
    up_kw: Number
    down_kw: Number
    up_h: Number
    down_h: Number
    firm_up_kw: Number
    firm_down_kw: Number
    worst_failure: str | None
    raise_kw: Number
    lower_kw: Number
    coverage: Coverage
    coverage_kw_ratio: Number


class CoverageKw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The batteries' nameplate power at sites of each kind, kW; `ratio` is fresh of all, null without batteries."""

    fresh_kw: float
    stale_kw: float
    silent_kw: float
    unreachable_kw: float
    ratio: Number


class GroupDetail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One group and how much of it is known: `unreachable` sites get no commands, `power_known` ones have a power."""

    now: GroupRow
    coverage_kw: CoverageKw
    unreachable: int
    power_known: int
