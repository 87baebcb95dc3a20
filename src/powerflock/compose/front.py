"""What a plant shows to the outside, put together out of the settings: the devices' door and the API with its page.

The same for a plant of one process and for the roles of many. Must not know which of them asks.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette

from powerflock import api
from powerflock.api.app import create_app
from powerflock.compose.files import storage_of
from powerflock.compose.past import HistorySource
from powerflock.compose.prices import LivePrices
from powerflock.compose.sockets import why
from powerflock.compose.view import Labels, LiveView
from powerflock.domain.clock import MICROS_PER_S, Clock
from powerflock.domain.errors import InvalidInput
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import GatewayOptions
from powerflock.sections import GatewaySettings
from powerflock.settings import Settings
from powerflock.sim.prices import MARKET_TIME_US

_STATIC = Path(api.__file__).parent / "static"


def log_to_stderr() -> None:
    """Our own words for a person at the terminal; the servers' only where something is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("uvicorn", "picows", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def labels_of(prices: LivePrices) -> Labels:
    """What the plant says of itself on every screen."""
    return Labels(prices.source, prices.generated, MARKET_TIME_US // (60 * MICROS_PER_S))


def api_of(settings: Settings, view: LiveView, enrol_key: str) -> FastAPI:
    """Page, REST and stream over `view`, and the history where one is kept."""
    past = HistorySource(storage_of(settings)) if settings.history.enabled else None
    return create_app(view, enrol_key, _STATIC if _STATIC.is_dir() else None, history=past)


def api_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """The server of `api_of`'s application; whoever stops it waits a second for what is being answered."""
    own = settings.api
    return uvicorn.Server(
        uvicorn.Config(
            app, own.host, own.port, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="on"
        )
    )


def page_server(page: Starlette) -> uvicorn.Server:
    """The server of a process's own page of health and metrics."""
    return uvicorn.Server(uvicorn.Config(page, log_config=None, access_log=False, lifespan="off"))


def gateway_options(settings: Settings, clock: Clock) -> GatewayOptions:
    """How devices are served."""
    own = settings.gateway
    return GatewayOptions(
        batch_ms=own.batch_ms,
        batch_rows=own.batch_rows,
        max_frame_bytes=own.max_frame_bytes,
        credits=own.credits,
        interval_us=round(settings.plant.tick_s * MICROS_PER_S * clock.speed),
        gateway=own.number,
        partitions=settings.plant.partitions,
    )


async def open_door(gateway: Gateway, own: GatewaySettings, remedy: str) -> int:
    """Let devices in; returns the port, or raises `InvalidInput` that names the setting."""
    try:
        return await gateway.start(own.host, own.port)
    except OSError as error:
        raise InvalidInput("gateway.port", own.port, f"cannot be opened on {own.host}: {why(error)}", remedy) from error
