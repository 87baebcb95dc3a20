"""The OpenAPI document, with the response schemas of the msgspec models filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from fastapi.openapi.utils import get_openapi

from powerflock.api.alarm_models import AcknowledgeBody, AlarmRow
from powerflock.api.group_models import GroupDetail, GroupRow
from powerflock.api.models import (
    AccountRow,
    BidRow,
    EnrolResult,
    Health,
    History,
    SiteDetail,
    SitePage,
    State,
)
from powerflock.api.problems import Problem
from powerflock.api.series_models import RevisionRow, SeriesColumns
from powerflock.domain.site import SiteSpec

if TYPE_CHECKING:
    from fastapi import FastAPI

SHOWN = (
    State,
    History,
    SitePage,
    SiteDetail,
    GroupRow,
    GroupDetail,
    BidRow,
    AccountRow,
    EnrolResult,
    Health,
    Problem,
    SiteSpec,
    AlarmRow,
    AcknowledgeBody,
    SeriesColumns,
    RevisionRow,
)
_REF = "#/components/schemas/{name}"


def body_of(kind: type, *, many: bool = False) -> dict[int | str, dict[str, object]]:
    """FastAPI's `responses` for a route that answers `kind`, or a list of it."""
    ref: dict[str, object] = {"$ref": _REF.format(name=kind.__name__)}
    schema = {"type": "array", "items": ref} if many else ref
    failed = {"schema": {"$ref": _REF.format(name="Problem")}}
    return {
        200: {"description": "OK", "content": {"application/json": {"schema": schema}}},
        "default": {"description": "A problem", "content": {"application/problem+json": failed}},
    }


def document(app: FastAPI) -> dict[str, object]:
    """The whole document as JSON-ready values."""
    made: dict[str, object] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, schemas = msgspec.json.schema_components(SHOWN, ref_template=_REF)
    components = made.setdefault("components", {})
    if isinstance(components, dict):
        components["schemas"] = {**components.get("schemas", {}), **schemas}
    return made
