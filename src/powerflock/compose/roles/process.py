"""What every role's process has: settings, clock, log, membership, a page of health and metrics, and an orderly end.

Invariants: `/healthz` answers while the process works, `/readyz` only when it may be given work, `/metrics` always; a
signal drains the role before the process ends; an error that no retry can mend ends the process with its reason.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from powerflock.compose.clockwork import Clockwork
from powerflock.compose.files import RoleFiles
from powerflock.compose.front import log_to_stderr, page_server
from powerflock.compose.gauges import Gauge, prometheus
from powerflock.compose.logs import open_plant_groups, open_plant_log
from powerflock.compose.parts import CORES
from powerflock.compose.sockets import listen
from powerflock.domain.clock import Clock
from powerflock.domain.errors import InvalidInput
from powerflock.log.membership import Changes, Groups, Member
from powerflock.log.open import KAFKA
from powerflock.log.port import Log
from powerflock.settings import Settings

logger = logging.getLogger("powerflock")
_SWITCH_S = 0.0005
"""How long a thread waits for another one that computes in Python.

A turn gives the interpreter away at each of its hundreds of array operations; waiting the usual 5 ms after each while a
partition recovers or policies are made beside it, it would be silent for seconds.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a role is put together from; `name` is this process's own, `address` where others can ask it."""

    settings: Settings
    name: str
    address: str
    files: RoleFiles
    clockwork: Clockwork
    log: Log
    groups: Groups
    pool: ThreadPoolExecutor

    @property
    def clock(self) -> Clock:
        """The plant's clock."""
        return self.clockwork.clock

    async def join(self, group: str, topic: str, changes: Changes) -> Member:
        """Become a member under this process's name."""
        return await asyncio.to_thread(self.groups.join, group, topic, self.name, self.address, changes)


class Role(Protocol):
    """One role at work."""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """What it answers beside health and metrics."""

    async def run(self) -> None:
        """Work until cancelled; raises what cannot be mended."""

    async def drain(self) -> None:
        """After `run` was cancelled: finish what was begun and give everything back."""

    def waits_for(self) -> str:
        """Why it may not be given work yet; empty when it may."""

    def gauges(self) -> list[Gauge]:
        """Its numbers now."""

    def more_metrics(self) -> str:
        """What else it has to say to Prometheus, in its text format; empty where that is all."""


def run_role(settings: Settings, role: str, make: Callable[[Parts], Role]) -> None:
    """Run a role's process until interrupted; `InvalidInput` for what the user can mend, `LogError` otherwise."""
    log_to_stderr()
    sys.setswitchinterval(_SWITCH_S)
    if not settings.log.url.startswith(KAFKA):
        bound = "must be kafka://HOST:PORT[,HOST:PORT]: the roles share a plant through a cluster"
        raise InvalidInput("log.url", settings.log.url, bound, "On one machine, `powerflock up` needs none.")
    own = settings.process
    listening = listen(own.host, own.port, "process.port")
    address = f"{own.advertise or own.host}:{listening.getsockname()[1]}"
    files = RoleFiles.open(settings)
    clockwork = Clockwork.open(files.clock, settings.plant.speed, simulated=settings.plant.speed != 1.0)
    log, groups = open_plant_log(settings, files.log), open_plant_groups(settings, files.log)
    with ThreadPoolExecutor(CORES) as pool:
        parts = Parts(
            settings, own.name or f"{role}-{socket.gethostname()}", address, files, clockwork, log, groups, pool
        )
        try:
            asyncio.run(_serve(make(parts), role, parts, listening))
        finally:
            groups.close()
            log.close()


async def _serve(role: Role, name: str, parts: Parts, listening: socket.socket) -> None:
    """The role and its health page, until a signal or a defect ends both."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = page_server(_page(role, name))
    serving = asyncio.create_task(server.serve([listening]))
    working, stopping = asyncio.create_task(role.run()), asyncio.create_task(stop.wait())
    logger.info("powerflock %s: %s at http://%s", name, parts.name, parts.address)
    await asyncio.wait({serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        task.cancel()
    try:
        with suppress(asyncio.CancelledError):
            await working
    finally:  # a defect too gives everything back: a membership left open would keep the process, and its partitions
        await role.drain()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=3.0)


def _page(role: Role, name: str) -> Starlette:
    async def healthz(_: Request) -> Response:
        return _json({"live": True, "role": name})

    async def readyz(_: Request) -> Response:
        waits = role.waits_for()
        status = HTTPStatus.SERVICE_UNAVAILABLE if waits else HTTPStatus.OK
        return _json({"ready": not waits, "waits_for": waits}, status)

    async def metrics(_: Request) -> Response:
        gauges = [Gauge("powerflock_role_ready", float(not role.waits_for()), "May be given work", {"role": name})]
        text = prometheus([*gauges, *role.gauges()]) + role.more_metrics()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    own = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=[*own, *role.routes])


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status.value, media_type="application/json")
