"""The queries of the REST interface and their bounds; unknown parameters are refused, nothing is silently clipped."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(_Query):
    """No parameters."""


class HistoryQuery(_Query):
    """How far back, in minutes of plant time."""

    minutes: float = Field(default=60.0, gt=0.0, le=2880.0, allow_inf_nan=False)


class SitesQuery(_Query):
    """One page of sites."""

    limit: int = Field(default=50, ge=1, le=500)
    page_token: str | None = Field(default=None, min_length=1, max_length=128)
    freshness: Literal["fresh", "stale", "silent"] | None = None
    search: str | None = Field(default=None, min_length=1, max_length=64)


class RowsQuery(_Query):
    """The newest rows."""

    limit: int = Field(default=50, ge=1, le=500)
