"""`powerflock twins`: the partitions that the group gives this process, each turned by a runner of its own.

One thread ticks all partitions it owns, one after another; a partition that came lately recovers beside the ticks of
the others, and takes the readings since its interval began there too. A partition that goes is given up between two
ticks, with all that was decided written; one that was lost is dropped, for its next owner has fenced it already. Where
a fence came from a process that had no right to the partition any more (it was taking it over when it lost it), or from
brokers that gave a transaction up, the group still says that the partition is this process's: then it is claimed again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from powerflock.api.models import SiteDetail
from powerflock.autobidder.partition import PartitionRunner
from powerflock.compose.background import BackgroundPlanner, giving_way
from powerflock.compose.directory import Directory
from powerflock.compose.gauges import Gauge
from powerflock.compose.parts import CORES, ring_settings
from powerflock.compose.past import followers
from powerflock.compose.roles.orders import NewestOrder
from powerflock.compose.roles.owned import Owned
from powerflock.compose.roles.process import Parts, logger
from powerflock.compose.site_view import SiteView
from powerflock.compose.storage import partition_snapshots
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.errors import InvalidInput, LogError, NotFound
from powerflock.domain.registry import Registry
from powerflock.log.membership import Member as Membership
from powerflock.log.port import Fenced
from powerflock.plant.member import Member
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.seen import seen

GROUP, TOPIC = "twins", "telemetry"


class Twins:
    """The role; its own `Changes` of membership."""

    def __init__(self, parts: Parts) -> None:
        """Idle: nothing is owned before `run`."""
        self._parts, self._settings = parts, ring_settings(parts.settings)
        self._orders = NewestOrder(parts.log)
        self._registry = Registry.empty(parts.settings.plant.partitions)
        self._directory = Directory(self._registry)
        self._publish_at = 0.0
        self._lock = threading.Lock()
        self._changed = threading.Event()
        """A partition came, or has recovered: the next tick does not wait."""
        self._wanted: set[int] = set()
        self._contested: set[int] = set()
        """Fenced here: to be claimed again only where the group says so."""
        self._runners: dict[int, PartitionRunner] = {}
        self._starting: dict[int, Future[PartitionRunner]] = {}
        self._failing: set[int] = set()
        """Could not be taken over so far."""
        self._writer = ThreadPoolExecutor(1, "snapshots")
        self._recovery = ThreadPoolExecutor(CORES, "recovery")
        """Not the planner's: a partition without an owner does not wait for other partitions' plans."""
        self._membership: Membership | None = None
        self._tick_ms, self._fenced, self._trouble = 0.0, 0, ""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """See `Role`."""
        return [Route("/v1/sites/{site}", self._site)]

    async def run(self) -> None:
        """See `Role`."""
        parts = self._parts
        self._membership = await parts.join(GROUP, TOPIC, self)
        while True:
            began = time.monotonic()
            self._changed.clear()
            self._membership.owned()  # raises what ended the membership: without one nothing is owned ever again
            await asyncio.to_thread(self._tick)
            self._parts.clockwork.touch()
            self._tick_ms = (time.monotonic() - began) * 1000.0
            rest_s = max(parts.settings.plant.tick_s - (time.monotonic() - began), 0.0)
            await asyncio.to_thread(self._changed.wait, rest_s)

    async def drain(self) -> None:
        """See `Role`."""
        self._changed.set()
        if self._membership is not None:
            await asyncio.to_thread(self._membership.close)
        self._recovery.shutdown()
        self._writer.shutdown()

    def waits_for(self) -> str:
        """See `Role`."""
        if self._membership is None or not self._membership.joined():
            return "membership of the group"
        if self._trouble:
            return self._trouble
        if behind := self._wanted - self._contested - self._runners.keys():
            return f"recovery of partitions {sorted(behind)}"
        return "" if self._orders.newest is not None else "an order of the autobidder"

    def gauges(self) -> list[Gauge]:
        """See `Role`."""
        runners = dict(self._runners)
        owned = [
            Gauge("powerflock_partition_owned", 1.0, "Partitions owned by this process", {"partition": str(part)})
            for part in sorted(runners)
        ]
        applied = float(sum(runner.counts.applied for runner in runners.values()))
        repeated = float(sum(runner.counts.repeated for runner in runners.values()))
        refused = float(sum(runner.counts.refused for runner in runners.values()))
        now_us, speed = self._parts.clock.now_us(), self._parts.clock.speed
        issued = float(sum(runner.commands_issued for runner in runners.values()))
        return [
            *owned,
            *(
                Gauge(
                    "powerflock_consumer_lag", float(runner.lag), "Log entries not read yet", {"partition": str(part)}
                )
                for part, runner in sorted(runners.items())
            ),
            *(
                Gauge(
                    "powerflock_snapshot_age_seconds",
                    (now_us - runner.saved_us) / MICROS_PER_S / speed,
                    "Since the newest snapshot",
                    {"partition": str(part)},
                )
                for part, runner in sorted(runners.items())
                if runner.saved_us
            ),
            Gauge("powerflock_commands_issued_total", issued, "Commands made durable", kind="counter"),
            Gauge("powerflock_partitions_recovering", float(len(self._starting)), "Partitions that recover now"),
            Gauge("powerflock_tick_milliseconds", self._tick_ms, "One tick of all partitions owned"),
            Gauge("powerflock_orders_refused_total", self._orders.refused, "Orders not understood", kind="counter"),
            Gauge("powerflock_fenced_total", float(self._fenced), "Partitions taken over by others", kind="counter"),
            Gauge("powerflock_readings_applied_total", applied, "Readings in effect", kind="counter"),
            Gauge("powerflock_readings_repeated_total", repeated, "Readings dropped as repeats", kind="counter"),
            Gauge("powerflock_readings_refused_total", refused, "Readings refused", kind="counter"),
        ]

    def more_metrics(self) -> str:
        """See `Role`."""
        return ""

    def assigned(self, partitions: Sequence[int]) -> None:
        """See `Changes`: they are taken over at the next tick."""
        with self._lock:
            self._wanted |= set(partitions)
            self._contested -= set(partitions)
        self._changed.set()
        logger.info("powerflock twins: owns partitions %s", sorted(self._wanted))

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Changes`: what was read last is written, and nothing more after that."""
        with self._lock:
            for partition in partitions:
                self._drop(partition)
        logger.info("powerflock twins: gave partitions %s back", list(partitions))

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Changes`."""
        self.revoked(partitions)

    async def _site(self, request: Request) -> Response:
        """One site whole, where its partition is owned here."""
        try:
            found = await asyncio.to_thread(self._detail, str(request.path_params["site"]))
        except NotFound as error:
            return Response(str(error), HTTPStatus.NOT_FOUND)
        return Response(msgspec.json.encode(found), media_type="application/json")

    def _detail(self, site: str) -> SiteDetail:
        with self._lock:
            owned = Owned.of(self._registry, self._settings, {p: run.member for p, run in self._runners.items()})
            return SiteView(owned, owned, self._directory).detail(site)

    def _publish(self, now_us: int) -> None:
        """What the sites do, for lists and alarms elsewhere; whoever misses one reads the next."""
        if time.monotonic() < self._publish_at:
            return
        self._publish_at = time.monotonic() + self._parts.settings.process.view_s
        looked = [(part, runner.member) for part, runner in self._runners.items() if runner.report is not None]
        self._parts.log.append_many([("views", part, seen(member, now_us)) for part, member in looked])

    def _tick(self) -> None:
        """All owned partitions by the newest order; no partition's trouble is another's."""
        trouble = ""
        try:
            self._confirm()
            self._orders.follow()
            trouble = self._orders.trouble
        except LogError as error:
            trouble = str(error)
        with self._lock:
            trouble = self._take_over() or trouble
            order = self._orders.newest
            for partition, runner in list(self._runners.items()):
                try:
                    until = runner.end()
                    if order is None:
                        runner.ingest(self._parts.clock.now_us(), until)
                    else:
                        runner.tick(order, self._parts.clock.now_us(), until)
                except Fenced as error:
                    self._fenced += 1
                    logger.warning("powerflock twins: partition %d: %s", partition, error)
                    del self._runners[partition]
                    self._contested.add(partition)
                except (LogError, InvalidInput, OSError) as error:  # entries that are not understood wait for who does
                    trouble = f"partition {partition}: {error}"
                    logger.warning("powerflock twins: %s", trouble)
            try:
                self._publish(self._parts.clock.now_us())
            except LogError as error:
                trouble = str(error)
        self._trouble = trouble

    def _confirm(self) -> None:
        """Ask the group who owns what was fenced here; what is this process's still is claimed again."""
        if self._contested:
            owners = self._parts.groups.owners(GROUP, TOPIC)
            with self._lock:
                self._contested -= {part for part, owner in owners.items() if owner == self._parts.address}

    def _take_over(self) -> str:
        """Start on what was assigned lately; turn what has recovered. Returns what kept a partition from it."""
        trouble = ""
        for partition in self._wanted - self._contested - self._runners.keys() - self._starting.keys():
            self._starting[partition] = self._recovery.submit(self._recovered, partition)
            self._starting[partition].add_done_callback(self._wake)
        for partition, future in list(self._starting.items()):
            if not future.done():
                continue
            del self._starting[partition]
            try:
                runner = future.result()
            except (LogError, OSError) as error:
                self._failing.add(partition)
                trouble = f"partition {partition} could not be taken over: {error}"
                logger.warning("powerflock twins: %s", trouble)
                continue
            self._failing.discard(partition)
            if partition in self._wanted:
                self._runners[partition] = runner
        return trouble

    def _wake(self, recovery: Future[PartitionRunner]) -> None:
        """A partition that has recovered is turned at once; one that failed is tried again at the next tick."""
        if not recovery.cancelled() and recovery.exception() is None:
            self._changed.set()

    def _recovers(self) -> bool:
        """Whether a partition is taken over for which plans of others leave the cores; one that failed has had them."""
        return any(not future.done() and part not in self._failing for part, future in list(self._starting.items()))

    def _recovered(self, partition: int) -> PartitionRunner:
        parts = self._parts

        def member(epoch: int) -> Member:
            outlook = BaselineOutlook(self._registry.partitions)
            planner = BackgroundPlanner(parts.pool, lambda _: None, giving_way(self._recovers))
            return Member(partition, self._registry, self._settings, outlook, planner, epoch)

        snapshots = partition_snapshots(parts.settings, partition)
        runner = PartitionRunner(
            parts.log, partition, parts.name, member, snapshots, self._writer, followers(parts.settings.history)
        )
        runner.recover()
        with suppress(LogError, InvalidInput, OSError):  # the partition's first tick meets the same, and tells it
            for _ in range(2):  # the readings of an interval, then those that came meanwhile: few are left to the ticks
                until = runner.end()
                runner.ingest(parts.clock.now_us(), until, self._orders.newest)
        return runner

    def _drop(self, partition: int) -> None:
        self._wanted.discard(partition)
        self._contested.discard(partition)
        self._failing.discard(partition)
        self._runners.pop(partition, None)
        starting = self._starting.get(partition)
        if starting is not None and starting.cancel():  # one that runs already ends first: two would share a registry
            del self._starting[partition]
