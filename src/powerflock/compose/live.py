"""`powerflock up`: gateway, log, ring, API and page in one process, the demo's homes in another.

One event loop serves sockets; the ring turns in a worker thread, so neither waits for the other. What stops the plant
is an error that no retry can mend (another owner, a damaged log); everything else is retried and shown.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import uvicorn

from powerflock import api
from powerflock.api.app import create_app
from powerflock.api.models import SiteDetail
from powerflock.autobidder.runner import Runner
from powerflock.compose.background import BackgroundPlanner
from powerflock.compose.clockwork import Clockwork
from powerflock.compose.directory import Directory
from powerflock.compose.files import PlantFiles, SnapshotFiles, storage_of
from powerflock.compose.homes_process import HomesProcess
from powerflock.compose.logs import open_plant_log
from powerflock.compose.parts import CORES, alarm_settings, import_prices, live_ages, ring_settings
from powerflock.compose.past import BackgroundHistory, HistorySource, followers
from powerflock.compose.prices import LivePrices
from powerflock.compose.registry import registrar_of
from powerflock.compose.site_view import SiteView
from powerflock.compose.sockets import listen, why
from powerflock.compose.view import Labels, LiveView, mean_of
from powerflock.domain.batches import decode
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import COMMAND
from powerflock.domain.errors import InvalidInput, LogError, RegistryError
from powerflock.domain.registry import Registry
from powerflock.gateway.protocol import CommandAck
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import Address, GatewayOptions
from powerflock.gateway.tokens import issue
from powerflock.log.port import Fenced, Log
from powerflock.plant.model import Turn
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.ring import Ring
from powerflock.settings import Settings
from powerflock.sim.prices import MARKET_TIME_US

STATIC = Path(api.__file__).parent / "static"
_JUST_AFTER_S = 0.001
_PUBLISH_EVERY_S = 2.0
_log = logging.getLogger("powerflock")


def run_plant(settings: Settings, *, demo: bool, homes: int, seed: int, homes_file: Path | None) -> None:
    """Run until interrupted. Raises `InvalidInput` for what the user can mend, `LogError` where the log gives up."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("uvicorn", "picows"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    files = PlantFiles.open(settings.plant.data_dir)
    plant = LivePlant(settings, files, demo=demo)
    process = HomesProcess(settings, files, homes, seed, homes_file) if demo else None
    asyncio.run(plant.run(process))


class LivePlant:
    """The process's parts, started in `run` in an order that shows the page first."""

    def __init__(self, settings: Settings, files: PlantFiles, *, demo: bool) -> None:
        """Everything that needs no recovery; opens the log."""
        self._settings, self._files = settings, files
        self._clockwork = Clockwork.open(files.clock, settings.plant.speed, simulated=demo)
        self._prices = LivePrices(settings, self._clockwork.first_us)
        self._log: Log = open_plant_log(settings, files.log)
        labels = Labels(self._prices.source, self._prices.generated, MARKET_TIME_US // (60 * MICROS_PER_S))
        self._view = LiveView(self._clockwork.clock, labels, lambda site: issue(files.secret, site), self._detail)
        self._history = self._make_history() if settings.history.enabled else None
        self._view.past = self._history
        self._runner: Runner | None = None
        self._snapshot_writer = ThreadPoolExecutor(1, "snapshots")
        self._gateway: Gateway | None = None
        self._sent, self._policies_sent = [0] * settings.plant.partitions, [0] * settings.plant.partitions

    async def run(self, homes: HomesProcess | None) -> None:
        """Serve until a signal or a defect ends it."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        own = self._settings.api
        listening = listen(own.host, own.port, "api.port", "Choose another with --port.")
        server = self._api_server()
        serving = asyncio.create_task(server.serve([listening]))
        _log.info("powerflock: the plant is at http://%s:%d", self._settings.api.host, listening.getsockname()[1])
        with ThreadPoolExecutor(CORES) as pool:
            tasks = {serving, asyncio.create_task(self._live(pool))}
            if homes is not None:
                tasks.add(asyncio.create_task(homes.keep_running()))
            stopping = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait(tasks | {stopping}, return_when=asyncio.FIRST_COMPLETED)
            await self._down(server, serving, tasks, homes)
        self._snapshot_writer.shutdown()
        self._log.close()
        for task in done - {stopping}:
            task.result()

    async def _live(self, pool: ThreadPoolExecutor) -> None:
        """Recover, open the devices' door and turn the ring."""
        self._runner = await asyncio.to_thread(self._recover, pool)
        self._view.runner = self._runner
        self._gateway = await self._open_gateway()
        if self._history is not None:
            self._history.start(self._runner)
        await asyncio.gather(self._turn_for_ever(), self._publish_for_ever(), self._gateway.wait())

    def _api_server(self) -> uvicorn.Server:
        past = HistorySource(self._history.storage) if self._history is not None else None
        app = create_app(self._view, self._files.enrol_key, STATIC if STATIC.is_dir() else None, history=past)
        own = self._settings.api
        config = uvicorn.Config(
            app, own.host, own.port, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="on"
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        return server

    def _make_history(self) -> BackgroundHistory:
        """Readings that come later than a device is called silent were missing in the totals of their moment."""
        late_us = max(live_ages(self._settings).silent_after_us[:3])
        return BackgroundHistory(
            self._settings.history, self._log, storage_of(self._settings), self._clockwork.clock, late_us
        )

    def _recover(self, pool: ThreadPoolExecutor) -> Runner:
        registry = Registry.empty(self._settings.plant.partitions)
        outlook = BaselineOutlook(registry.partitions)
        settings = ring_settings(self._settings, live_ages(self._settings))

        def ring(epoch: int) -> Ring:
            return Ring(registry, settings, outlook, self._prices, BackgroundPlanner(pool, self._planned), epoch)

        registrar = registrar_of(self._settings, self._log, self._clockwork.clock.now_us)
        snapshots = SnapshotFiles.of(storage_of(self._settings))
        alarms = alarm_settings(self._settings, self._settings.plant.speed)
        readers = followers(self._settings.history)
        runner = Runner(self._log, ring, snapshots, registrar, self._snapshot_writer, alarms, readers)
        runner.recover()
        now = self._clockwork.clock.now_us()
        import_prices(outlook, self._prices.week_before(now), now)
        self._sent = [self._log.end("commands", partition) for partition in range(registry.partitions)]
        return runner

    async def _open_gateway(self) -> Gateway:
        own, runner = self._settings.gateway, self._runner
        assert runner is not None
        options = GatewayOptions(
            batch_ms=own.batch_ms,
            batch_rows=own.batch_rows,
            max_frame_bytes=own.max_frame_bytes,
            credits=own.credits,
            interval_us=round(self._settings.plant.tick_s * MICROS_PER_S * self._clockwork.clock.speed),
            partitions=runner.ring.registry.partitions,
        )
        gateway = Gateway(
            self._log, runner.ring.registry, self._clockwork.clock, self._files.secret, self._acknowledged, options
        )
        try:
            port = await gateway.start(own.host, own.port)
        except OSError as error:
            raise InvalidInput(
                "gateway.port", own.port, f"cannot be opened on {own.host}: {why(error)}",
                "Choose another with --gateway-port.",
            ) from error  # fmt: skip
        _log.info("powerflock: devices connect to ws://%s:%d/v1", own.host, port)
        return gateway

    async def _turn_for_ever(self) -> None:
        """The ring's heartbeat, shifted to where an interval begins, so that no award is followed late.

        A late turn is not made up for; a failed one is tried again at the next beat.
        """
        period, last = self._settings.plant.tick_s, -math.inf
        while True:
            began = time.monotonic()
            try:
                await self._turn(began - last)
                self._clockwork.touch()
                self._view.vitals.trouble = ""
            except Fenced:
                raise
            except (LogError, OSError) as error:
                self._view.vitals.trouble = str(error)
                _log.warning("powerflock: %s", error)
            last, left = began, self._until_interval_s()
            pause = period - (time.monotonic() - began)
            await asyncio.sleep(left if left < pause + period / 4 else max(pause, 0.0))

    async def _publish_for_ever(self) -> None:
        """Enrolments that another process kept, or that could not be sent at once; the ring never waits for them."""
        assert self._runner is not None
        while True:
            try:
                await asyncio.to_thread(self._runner.publish)
            except Fenced:
                raise
            except (LogError, RegistryError) as error:
                _log.warning("powerflock: %s", error)
            await asyncio.sleep(_PUBLISH_EVERY_S)

    def _until_interval_s(self) -> float:
        """Wall seconds until the next interval has begun."""
        clock, length = self._clockwork.clock, self._settings.plant.interval_s * MICROS_PER_S
        return (length - clock.now_us() % length) / (MICROS_PER_S * clock.speed) + _JUST_AFTER_S

    async def _turn(self, since_s: float) -> None:
        runner, vitals = self._runner, self._view.vitals
        assert runner is not None
        before, began = runner.counts.applied, time.perf_counter()
        turn = await asyncio.to_thread(runner.tick, self._clockwork.clock.now_us())
        spent_ms = (time.perf_counter() - began) * 1000.0
        self._view.turn = turn
        vitals.tick_ms = mean_of(vitals.tick_ms, spent_ms)
        vitals.readings_per_s = mean_of(vitals.readings_per_s, (runner.counts.applied - before) / since_s)
        vitals.log_entries = runner.counts.entries
        if self._history is not None:
            await asyncio.to_thread(self._history.offer, turn)
        await self._send_commands()
        await self._send_policies()

    def _detail(self, site: str, turn: Turn, directory: Directory) -> SiteDetail:
        """One site whole, by the ring's own shards."""
        assert self._runner is not None, "there is a turn, so there is a runner"
        return SiteView(self._runner.ring, turn, directory).detail(site)

    def _acknowledged(self, site: str, address: Address, ack: CommandAck) -> None:
        """What became of a command at the edge, counted: nothing counts as applied that no edge has confirmed."""
        del site, address
        self._view.vitals.command_acks[ack.status.value] += 1

    def _planned(self, seconds: float) -> None:
        self._view.vitals.plan_ms = seconds * 1000.0

    async def _send_commands(self) -> None:
        """The gateway's side of the log: what is durable goes out, in order."""
        assert self._gateway is not None
        for partition, offset in enumerate(self._sent):
            for entry in await asyncio.to_thread(self._log.read, "commands", partition, offset):
                commands = decode(entry.payload, COMMAND)
                self._view.vitals.commands_issued += commands.size
                self._gateway.send_commands(commands, partition)
                self._sent[partition] = entry.offset + 1

    async def _send_policies(self) -> None:
        """The same for policies; after a restart the last ones made go to the homes that connect again."""
        assert self._gateway is not None
        for partition, offset in enumerate(self._policies_sent):
            for entry in await asyncio.to_thread(self._log.read, "policies", partition, offset):
                made = msgspec.msgpack.decode(entry.payload, type=PolicyBatch)
                self._gateway.send_policies(partition, made.epoch, made.until_us, made.rows, made.payloads)
                self._policies_sent[partition] = entry.offset + 1

    async def _down(
        self,
        server: uvicorn.Server,
        serving: asyncio.Task[None],
        tasks: set[asyncio.Task[None]],
        homes: HomesProcess | None,
    ) -> None:
        """Homes first, then the front door, then the page."""
        for task in tasks - {serving}:
            task.cancel()
        await asyncio.gather(*(tasks - {serving}), return_exceptions=True)
        if homes is not None:
            await homes.stop()
        if self._gateway is not None:
            await self._gateway.stop()
        if self._history is not None:
            await asyncio.to_thread(self._history.stop)
        server.should_exit = True
        await asyncio.wait({serving}, timeout=3.0)
        self._clockwork.touch()
