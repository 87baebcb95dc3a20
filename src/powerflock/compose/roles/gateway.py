"""`powerflock gateway`: the devices' door.

Readings go into the log; commands and policies of all partitions are read from it, and what is for a site with a
session here goes out. Any number of gateways share the devices: each reads every partition's commands, which are few,
and sends those that it has a session for, so that nobody has to know where a site is connected.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

import msgspec
from starlette.routing import BaseRoute

from powerflock.compose.front import gateway_options, open_door
from powerflock.compose.gauges import Gauge
from powerflock.compose.roles.process import Parts
from powerflock.domain.batches import decode
from powerflock.domain.columns import COMMAND
from powerflock.domain.enrolment import TOPIC as REGISTRY
from powerflock.domain.errors import InvalidInput, LogError
from powerflock.domain.registry import Registry
from powerflock.gateway.protocol import CommandAck
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import Address
from powerflock.log.follower import Follower
from powerflock.plant.policies import PolicyBatch

_EVERY_S = 0.2
_log = logging.getLogger("powerflock")


class GatewayRole:
    """The role."""

    def __init__(self, parts: Parts) -> None:
        """Nothing is open before `run`."""
        self._parts = parts
        partitions = parts.settings.plant.partitions
        self._registry = Registry.empty(partitions)
        self._enrolments = Follower(parts.log, REGISTRY, [0] * partitions)
        self._acks: Counter[str] = Counter()
        self._trouble = "the registry is read"
        options = gateway_options(parts.settings, parts.clock)
        self._gateway = Gateway(parts.log, self._registry, parts.clock, parts.files.secret, self._acknowledged, options)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """See `Role`."""
        return []

    async def run(self) -> None:
        """See `Role`."""
        log, own = self._parts.log, self._parts.settings.gateway
        partitions = range(self._registry.partitions)
        for partition in partitions:
            await self._enrol_new(partition)
        ends = [await asyncio.to_thread(log.end, "commands", part) for part in partitions]
        newest = [await asyncio.to_thread(log.newest, "policies", part) for part in partitions]
        commands = Follower(log, "commands", ends)
        policies = Follower(log, "policies", [entries[0].offset if entries else 0 for entries in newest])
        port = await open_door(self._gateway, own, "Choose another.")
        _log.info("powerflock gateway: devices connect to ws://%s:%d/v1", own.host, port)
        await asyncio.gather(self._follow(commands, policies), self._gateway.wait())

    async def drain(self) -> None:
        """See `Role`: what was received is logged and acknowledged, and every session is told to go elsewhere."""
        await self._gateway.stop()

    def waits_for(self) -> str:
        """See `Role`."""
        return self._trouble

    def gauges(self) -> list[Gauge]:
        """See `Role`."""
        counts = self._gateway.counts
        totals = {
            "powerflock_gateway_readings_total": (counts.readings_logged, "Readings logged and acknowledged"),
            "powerflock_gateway_commands_total": (counts.commands_sent, "Commands sent to a session"),
            "powerflock_gateway_policies_total": (counts.policies_sent, "Policies sent to a session"),
            "powerflock_gateway_connections_total": (counts.connections, "Sockets opened"),
        }
        return [
            Gauge("powerflock_gateway_sessions", float(self._gateway.sessions), "Sites with a session here"),
            Gauge("powerflock_gateway_waiting_rows", float(self._gateway.waiting_rows), "Readings not yet logged"),
            *(Gauge(name, float(value), text, kind="counter") for name, (value, text) in totals.items()),
            *(
                Gauge("powerflock_command_acks_total", float(count), "What edges say", {"status": status}, "counter")
                for status, count in sorted(self._acks.items())
            ),
            *(
                Gauge("powerflock_gateway_errors_total", float(count), "Errors told", {"code": code}, "counter")
                for code, count in sorted(counts.errors.items())
            ),
        ]

    def more_metrics(self) -> str:
        """See `Role`."""
        return ""

    async def _follow(self, commands: Follower, policies: Follower) -> None:
        """What is new in the log goes out, in order; a log that fails is asked again."""
        while True:
            try:
                for partition in range(self._registry.partitions):
                    await self._enrol_new(partition)
                    for payload in await asyncio.to_thread(commands.new, partition):
                        self._gateway.send_commands(decode(payload, COMMAND), partition)
                    for payload in await asyncio.to_thread(policies.new, partition):
                        made = msgspec.msgpack.decode(payload, type=PolicyBatch)
                        self._gateway.send_policies(partition, made.epoch, made.until_us, made.rows, made.payloads)
                self._trouble = ""
            except (LogError, InvalidInput, msgspec.MsgspecError) as error:  # one of a newer version is passed over
                self._trouble = str(error)
                _log.warning("powerflock gateway: %s", error)
            await asyncio.sleep(_EVERY_S)

    async def _enrol_new(self, partition: int) -> None:
        """Sites enrolled since; on the loop's own thread, where sessions look them up."""
        payloads = await asyncio.to_thread(self._enrolments.new, partition)
        if payloads:
            self._registry.replay(partition, payloads)

    def _acknowledged(self, site: str, address: Address, ack: CommandAck) -> None:
        """Counted; the answer itself is in the log."""
        del site, address
        self._acks[ack.status.value] += 1
