"""`powerflock autobidder`: the portfolio, owned by one process at a time; any others stand by.

The portfolio is the one partition of the topic `orders`: whoever the group gives it to claims it, takes up the account
and the open interval from the log, and turns it until the partition goes.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from powerflock.alarms import Alarm
from powerflock.autobidder.portfolio import PortfolioRunner
from powerflock.compose.clockwork import rest_s
from powerflock.compose.gauges import Gauge
from powerflock.compose.parts import alarm_settings, import_prices, ring_settings
from powerflock.compose.prices import LivePrices
from powerflock.compose.roles.followed import Followed
from powerflock.compose.roles.process import Parts, logger
from powerflock.domain.errors import LogError, NotFound, NotReady
from powerflock.log.membership import Member as Membership
from powerflock.log.port import Fenced
from powerflock.plant.coordinator import Coordinator
from powerflock.plant.outlook import BaselineOutlook

GROUP, TOPIC = "autobidder", "orders"


class Acknowledged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has seen an alarm, and when."""

    by: str
    now_us: int


class Autobidder:
    """The role; its own `Changes` of membership."""

    def __init__(self, parts: Parts) -> None:
        """Standing by."""
        self._parts = parts
        self._lock = threading.Lock()
        self._wanted = self._contested = False
        self._runner: PortfolioRunner | None = None
        self._followed: Followed | None = None
        self._watch_at = 0.0
        self._membership: Membership | None = None
        self._tick_ms, self._fenced, self._trouble = 0.0, 0, ""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """See `Role`."""
        return [Route("/v1/alarms/{alarm:path}", self._acknowledge, methods=["POST"])]

    async def run(self) -> None:
        """See `Role`: the heartbeat is shifted to where an interval begins, so that no award is followed late."""
        parts = self._parts
        self._membership = await parts.join(GROUP, TOPIC, self)
        period = parts.settings.plant.tick_s
        while True:
            began = time.monotonic()
            self._membership.owned()  # raises what ended the membership: without one nothing is owned ever again
            await asyncio.to_thread(self._tick)
            parts.clockwork.touch()
            self._tick_ms = (time.monotonic() - began) * 1000.0
            spent_s, interval_s = time.monotonic() - began, parts.settings.plant.interval_s
            await asyncio.sleep(rest_s(parts.clock, interval_s, period, spent_s))

    async def drain(self) -> None:
        """See `Role`."""
        if self._membership is not None:
            await asyncio.to_thread(self._membership.close)

    def waits_for(self) -> str:
        """See `Role`: a process that stands by is ready."""
        joined = self._membership is not None and self._membership.joined()
        return self._trouble if joined else "membership of the group"

    def gauges(self) -> list[Gauge]:
        """See `Role`."""
        runner = self._runner
        rows = [
            Gauge("powerflock_portfolio_owned", float(runner is not None), "Whether this process owns the portfolio"),
            Gauge("powerflock_tick_milliseconds", self._tick_ms, "One tick of the portfolio"),
            Gauge("powerflock_fenced_total", float(self._fenced), "Times another has taken over", kind="counter"),
        ]
        if runner is None or not runner.rows:
            return rows
        row, account = runner.rows[-1], runner.coordinator.account
        numbers = {
            "powerflock_output_mw": (row.delivered_mw, "Metered output, MW, + = export"),
            "powerflock_target_mw": (row.target_mw, "Award in force, MW, + = export"),
            "powerflock_coverage_ratio": (row.coverage_ratio, "Share of sites that are fresh"),
            "powerflock_soc_ratio": (row.soc_ratio, "State of charge of all batteries"),
        }
        settled = float(account.intervals)
        return [
            *rows,
            *(Gauge(name, math.nan if value is None else value, text) for name, (value, text) in numbers.items()),
            Gauge("powerflock_partitions_reporting", float(len(runner.reports)), "Partitions that have reported"),
            Gauge("powerflock_reports_refused_total", float(runner.refused), "Reports not understood", kind="counter"),
            Gauge("powerflock_settled_intervals_total", settled, "Intervals settled", kind="counter"),
        ]

    def more_metrics(self) -> str:
        """See `Role`."""
        return ""

    def assigned(self, partitions: Sequence[int]) -> None:
        """See `Changes`."""
        with self._lock:
            self._wanted, self._contested = True, False
        logger.info("powerflock autobidder: owns the portfolio (partitions %s)", list(partitions))

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Changes`."""
        with self._lock:
            self._wanted, self._contested, self._runner = False, False, None
        logger.info("powerflock autobidder: stands by (partitions %s)", list(partitions))

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Changes`."""
        self.revoked(partitions)

    async def _acknowledge(self, request: Request) -> Response:
        """Somebody has seen an alarm, where the portfolio is owned here."""
        try:
            asked = msgspec.json.decode(await request.body(), type=Acknowledged)
            alarm = await asyncio.to_thread(self._seen_by, str(request.path_params["alarm"]), asked)
        except NotFound as error:
            return Response(str(error), HTTPStatus.NOT_FOUND)
        except (NotReady, LogError, msgspec.MsgspecError) as error:
            return Response(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(msgspec.json.encode(alarm), media_type="application/json")

    def _seen_by(self, alarm_id: str, asked: Acknowledged) -> Alarm:
        with self._lock:
            if self._runner is None:
                raise NotReady("this process does not own the portfolio")
            return self._runner.acknowledge(alarm_id, asked.by, asked.now_us)

    def _tick(self) -> None:
        """One tick where the portfolio is owned here; after a fence only where the group still says so."""
        try:
            mine = not self._contested or self._parts.groups.owners(GROUP, TOPIC).get(0) == self._parts.address
        except LogError as error:
            mine, self._trouble = False, str(error)
        with self._lock:
            if not self._wanted or not mine:
                return
            self._contested = False
            try:
                if self._runner is None:
                    self._runner = self._take_up()
                now_us = self._parts.clock.now_us()
                self._watch(self._runner, now_us)
                self._runner.tick(now_us)
                self._trouble = ""
            except Fenced as error:
                self._fenced += 1
                self._contested, self._runner = True, None
                logger.warning("powerflock autobidder: %s", error)
            except LogError as error:
                self._trouble = str(error)
                logger.warning("powerflock autobidder: %s", error)

    def _watch(self, runner: PortfolioRunner, now_us: int) -> None:
        """Look for alarms as often as twins publish what their sites do."""
        if time.monotonic() < self._watch_at or self._followed is None:
            return
        self._watch_at = time.monotonic() + self._parts.settings.process.view_s
        self._followed.follow_sites()
        columns = [columns for columns, _ in self._followed.sites]
        runner.alarms.look(columns, self._followed.records(), now_us)

    def _take_up(self) -> PortfolioRunner:
        parts, settings = self._parts, self._parts.settings
        now_us, outlook = parts.clock.now_us(), BaselineOutlook(settings.plant.partitions)
        prices = LivePrices(settings, parts.clockwork.first_us)
        import_prices(outlook, prices.week_before(now_us), now_us)
        coordinator = Coordinator(ring_settings(settings), outlook, prices)
        self._followed = Followed(parts.log, settings.plant.partitions, coordinator.settings)
        alarms = alarm_settings(settings, settings.plant.speed)
        runner = PortfolioRunner(parts.log, parts.name, coordinator, settings.plant.partitions, alarms)
        runner.recover()
        return runner
