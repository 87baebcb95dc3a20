"""`powerflock up`: gateway, log, ring, API and page in one process, the demo's homes in another.

One event loop serves sockets; the ring turns in a worker thread, so neither waits for the other. What stops the plant
is an error that no retry can mend (another owner, a damaged log); everything else is retried and shown.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import uvicorn

from powerflock.api.models import SiteDetail
from powerflock.autobidder.runner import Runner
from powerflock.compose.background import BackgroundPlanner
from powerflock.compose.clockwork import Clockwork, rest_s
from powerflock.compose.directory import Directory
from powerflock.compose.files import PlantFiles, SnapshotFiles, storage_of
from powerflock.compose.front import api_of, api_server, gateway_options, labels_of, log_to_stderr, open_door
from powerflock.compose.homes_process import HomesProcess
from powerflock.compose.logs import open_plant_log
from powerflock.compose.parts import CORES, alarm_settings, import_prices, ring_settings
from powerflock.compose.past import followers, history_of
from powerflock.compose.prices import LivePrices
from powerflock.compose.registry import registrar_of
from powerflock.compose.site_view import SiteView
from powerflock.compose.sockets import listen
from powerflock.compose.view import LiveView, mean_of
from powerflock.domain.batches import decode
from powerflock.domain.columns import COMMAND
from powerflock.domain.errors import LogError, RegistryError
from powerflock.domain.registry import Registry
from powerflock.gateway.protocol import CommandAck
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import Address
from powerflock.gateway.tokens import issue
from powerflock.log.port import Fenced, Log
from powerflock.plant.model import Turn
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.policies import PolicyBatch
from powerflock.plant.ring import Ring
from powerflock.settings import Settings

_PUBLISH_EVERY_S = 2.0
_log = logging.getLogger("powerflock")


def run_plant(settings: Settings, *, demo: bool, homes: int, seed: int, homes_file: Path | None) -> None:
    """Run until interrupted. Raises `InvalidInput` for what the user can mend, `LogError` where the log gives up."""
    log_to_stderr()
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
        labels = labels_of(self._prices)
        self._view = LiveView(self._clockwork.clock, labels, lambda site: issue(files.secret, site), self._detail)
        self._history = history_of(settings, self._log, self._clockwork.clock) if settings.history.enabled else None
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
        server = api_server(api_of(self._settings, self._view, self._files.enrol_key), self._settings)
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

    def _recover(self, pool: ThreadPoolExecutor) -> Runner:
        registry = Registry.empty(self._settings.plant.partitions)
        outlook = BaselineOutlook(registry.partitions)
        settings = ring_settings(self._settings)

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
        clock = self._clockwork.clock
        options = gateway_options(self._settings, clock)
        gateway = Gateway(self._log, runner.ring.registry, clock, self._files.secret, self._acknowledged, options)
        port = await open_door(gateway, own, "Choose another with --gateway-port.")
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
            last, interval_s = began, self._settings.plant.interval_s
            await asyncio.sleep(rest_s(self._clockwork.clock, interval_s, period, time.monotonic() - began))

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
