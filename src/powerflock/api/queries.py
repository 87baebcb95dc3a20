"""The queries of the REST interface and their bounds; unknown parameters are refused, nothing is silently clipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from powerflock.api.models import SITE_COLUMNS, CommandName, FreshnessName, LinkName

BY_SITE = "site"
"""The order by site id."""


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(_Query):
    """No parameters."""


class HistoryQuery(_Query):
    """How far back, in minutes of plant time."""

    minutes: float = Field(default=60.0, gt=0.0, le=2880.0, allow_inf_nan=False)


Bound = Annotated[float | None, Field(allow_inf_nan=False)]


class SitesQuery(_Query):
    """One page of the sites that match all that is given.

    `sort` is `site` or a number of a SiteRow, with `-` before it from the greatest. Each such number can be bounded; an
    unknown one lies within no bounds.
    """

    limit: int = Field(default=50, ge=1, le=500)
    page_token: str | None = Field(default=None, min_length=1, max_length=256)
    sort: str = Field(default=BY_SITE, max_length=32)
    freshness: FreshnessName | None = None
    link: LinkName | None = None
    reachable: bool | None = None
    command: CommandName | None = None
    group: str | None = Field(default=None, min_length=1, max_length=1024)
    search: str | None = Field(default=None, min_length=1, max_length=64)
    min_age_s: Bound = None
    max_age_s: Bound = None
    min_power_kw: Bound = None
    max_power_kw: Bound = None
    min_battery_kw: Bound = None
    max_battery_kw: Bound = None
    min_solar_kw: Bound = None
    max_solar_kw: Bound = None
    min_load_kw: Bound = None
    max_load_kw: Bound = None
    min_soc_ratio: Bound = None
    max_soc_ratio: Bound = None
    min_up_kw: Bound = None
    max_up_kw: Bound = None
    min_down_kw: Bound = None
    max_down_kw: Bound = None
    min_desired_kw: Bound = None
    max_desired_kw: Bound = None
    min_applied_kw: Bound = None
    max_applied_kw: Bound = None
    min_deviation_kw: Bound = None
    max_deviation_kw: Bound = None
    min_unapplied_kw: Bound = None
    max_unapplied_kw: Bound = None

    @field_validator("sort")
    @classmethod
    def _is_sortable(cls, sort: str) -> str:
        if sort.removeprefix("-") not in (BY_SITE, *SITE_COLUMNS):
            msg = f"must be one of {', '.join((BY_SITE, *SITE_COLUMNS))}, with - before it from the greatest"
            raise ValueError(msg)
        return sort

    def bounds(self) -> Iterator[tuple[str, float, float]]:
        """Column, least and greatest value, of those that are bounded."""
        for name in SITE_COLUMNS:
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None or high is not None:
                yield name, -math.inf if low is None else low, math.inf if high is None else high


class RowsQuery(_Query):
    """The newest rows."""

    limit: int = Field(default=50, ge=1, le=500)
