"""The HTTP interface of one plant: REST, the 1 Hz stream, health and metrics, and the console's page.

Invariants: every response body comes from a msgspec model or is a problem; every route refuses what it does not know.
Must not know where the view's numbers come from, nor keep state besides the stream's listeners.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.responses import Response

from powerflock.api.alarms import alarm_routes
from powerflock.api.enrolment import bounded_body, check_key, parse_sites
from powerflock.api.group_models import GroupDetail, GroupRow
from powerflock.api.headers import SecurityHeaders
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
from powerflock.api.openapi import body_of, document
from powerflock.api.page import serve_page
from powerflock.api.problems import install_problems
from powerflock.api.queries import HistoryQuery, NoQuery, RowsQuery, SitesQuery
from powerflock.api.series import SeriesSource, series_routes
from powerflock.api.stream import Broadcaster, StreamResponse
from powerflock.api.view import PlantView
from powerflock.domain.errors import InvalidInput

API = "/api/v1"


def create_app(
    view: PlantView, enrol_key: str, static_dir: Path | None, *, history: SeriesSource | None = None
) -> FastAPI:
    """The application over `view`; `enrol_key` opens enrolment, `static_dir` holds the built page (None: none).

    `history` answers for the past; without one there are no such routes.

    Raises `InvalidInput` for an empty key, which anybody could guess.
    """
    if not enrol_key:
        raise InvalidInput("enrolment key", enrol_key, "must not be empty")
    app = FastAPI(title="Powerflock", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    install_problems(app)
    stream = Broadcaster(view.state)
    app.state.stream_metrics = stream.metrics
    app.include_router(_plant_routes(view, stream), prefix=API, tags=["plant"])
    app.include_router(_site_routes(view, enrol_key), prefix=API, tags=["sites"])
    app.include_router(alarm_routes(view, enrol_key), prefix=API, tags=["alarms"])
    app.include_router(_market_routes(view), prefix=API, tags=["market"])
    if history is not None:
        app.include_router(series_routes(history), prefix=API, tags=["history"])
    app.include_router(_own_routes(view, stream), tags=["operation"])

    @app.get("/api/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return _json(document(app))

    serve_page(app, static_dir)
    return app


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    body = msgspec.json.encode(value)
    return Response(body, status.value, media_type="application/json", headers={"cache-control": "no-store"})


def _none(_: Annotated[NoQuery, Query()]) -> None:
    """Refuse any query parameter."""


def _plant_routes(view: PlantView, stream: Broadcaster) -> APIRouter:
    routes = APIRouter()

    @routes.get("/state", responses=body_of(State), dependencies=[Depends(_none)])
    async def state() -> Response:
        """The plant now."""
        return _json(view.state())

    @routes.get("/stream", responses={200: {"content": {"text/event-stream": {}}}}, dependencies=[Depends(_none)])
    async def follow() -> Response:
        """The plant once a second, as server-sent events whose data is a State."""
        return StreamResponse(stream)

    @routes.get("/history", responses=body_of(History))
    async def history(query: Annotated[HistoryQuery, Query()]) -> Response:
        """The plant's recent past, in columns."""
        return _json(view.history(query.minutes))

    @routes.get("/groups", responses=body_of(GroupRow, many=True), dependencies=[Depends(_none)])
    async def groups() -> Response:
        """The portfolio, its regions and feeders."""
        return _json(view.groups())

    @routes.get("/groups/{group:path}", responses=body_of(GroupDetail), dependencies=[Depends(_none)])
    async def group(group: str) -> Response:
        """One group, and how much of it is known."""
        return _json(view.group(group))

    return routes


def _site_routes(view: PlantView, enrol_key: str) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sites", responses=body_of(SitePage))
    async def sites(query: Annotated[SitesQuery, Query()]) -> Response:
        """One page of the sites that match, in the order asked for."""
        return _json(await asyncio.to_thread(view.sites, query))

    @routes.get("/sites/{site}", responses=body_of(SiteDetail), dependencies=[Depends(_none)])
    async def site(site: str) -> Response:
        """One site, and why it does what it does."""
        return _json(await asyncio.to_thread(view.site, site))

    @routes.post("/sites", responses=body_of(EnrolResult), dependencies=[Depends(_none)])
    async def enrol(request: Request) -> Response:
        """Enrol sites with the enrolment key as bearer token; repeating an equal site changes nothing."""
        check_key(request.headers.get("authorization"), enrol_key)
        specs = parse_sites(await bounded_body(request))
        return _json(await asyncio.to_thread(view.enrol, specs))

    return routes


def _market_routes(view: PlantView) -> APIRouter:
    routes = APIRouter()

    @routes.get("/bids", responses=body_of(BidRow, many=True))
    async def bids(query: Annotated[RowsQuery, Query()]) -> Response:
        """The newest bids."""
        return _json(view.bids(query.limit))

    @routes.get("/accounts", responses=body_of(AccountRow, many=True))
    async def accounts(query: Annotated[RowsQuery, Query()]) -> Response:
        """The newest settled intervals."""
        return _json(view.accounts(query.limit))

    return routes


def _own_routes(view: PlantView, stream: Broadcaster) -> APIRouter:
    routes = APIRouter(include_in_schema=True)

    @routes.get("/healthz", responses=body_of(Health))
    async def healthz() -> Response:
        """200 while the process works."""
        health = view.health()
        return _json(health, HTTPStatus.OK if health.live else HTTPStatus.SERVICE_UNAVAILABLE)

    @routes.get("/readyz", responses=body_of(Health))
    async def readyz() -> Response:
        """200 when totals may be served; 503 with the reasons while recovering."""
        health = view.health()
        return _json(health, HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @routes.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(view.metrics() + stream.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
