"""Alarms over HTTP: the list that everybody may read, and acknowledging, for which the plant's key is needed.

The key is checked before a byte of the body is read. Must not know how alarms are found or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from powerflock.api.alarm_models import AcknowledgeBody, AlarmRow
from powerflock.api.enrolment import bounded_body, check_key
from powerflock.api.openapi import body_of
from powerflock.api.queries import NoQuery
from powerflock.domain.errors import InvalidInput

MOST_BYTES = 4096
MOST_NAME = 64


class AlarmView(Protocol):
    """What is asked of a plant."""

    def alarms(self) -> Sequence[AlarmRow]:
        """All alarms in the book: true ones first, the gravest and newest first among them."""

    def acknowledge(self, alarm: str, by: str) -> AlarmRow:
        """`by` has seen the alarm: durable, then answered; waits for the log. `NotFound` for one not in the book."""


def alarm_routes(view: AlarmView, key: str) -> APIRouter:
    """The routes under `/alarms`; `key` opens acknowledging."""
    routes = APIRouter()

    @routes.get("/alarms", responses=body_of(AlarmRow, many=True), dependencies=[Depends(_none)])
    async def alarms() -> Response:
        """What is wrong, one entry for each cause: true now first, the gravest and newest first."""
        return _json(view.alarms())

    @routes.post("/alarms/{alarm:path}/acknowledge", responses=body_of(AlarmRow), dependencies=[Depends(_none)])
    async def acknowledge(alarm: str, request: Request) -> Response:
        """Say who has seen an alarm, with the plant's key as bearer token; a cleared one leaves the book."""
        check_key(request.headers.get("authorization"), key)
        by = parse_name(await bounded_body(request, MOST_BYTES))
        return _json(await asyncio.to_thread(view.acknowledge, alarm, by))

    return routes


def parse_name(body: bytes) -> str:
    """The name in the body of an acknowledgement, or `InvalidInput`."""
    try:
        name = msgspec.json.decode(body, type=AcknowledgeBody).by.strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("body", body[:80].decode(errors="replace"), f"cannot be read: {error}") from error
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
        raise InvalidInput("by", name[:80], f"must be a name of 1 to {MOST_NAME} printable characters")
    return name


def _none(_: Annotated[NoQuery, Query()]) -> None:
    """Refuse any query parameter."""


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"cache-control": "no-store"})
