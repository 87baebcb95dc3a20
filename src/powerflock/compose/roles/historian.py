"""`powerflock historian`: readings and group series into Delta tables, by one process at a time; any others stand by.

It is the one partition of the topic `groups`: whoever has it follows every partition's readings, and puts the groups'
rows, as reports tell them, into that topic first.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute

from powerflock.compose.gauges import Gauge
from powerflock.compose.parts import ring_settings
from powerflock.compose.past import BackgroundHistory, Known, history_of
from powerflock.compose.roles.followed import Followed
from powerflock.compose.roles.process import Parts, logger
from powerflock.domain.errors import LogError
from powerflock.history.group_series import TOPIC
from powerflock.log.membership import Member as Membership

GROUP = "historian"
_EVERY_S = 1.0


class FollowedPlant:
    """What the topics tell, held still while it is read."""

    def __init__(self, parts: Parts) -> None:
        """Nothing read yet."""
        self.ring = Followed(parts.log, parts.settings.plant.partitions, ring_settings(parts.settings))
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Read what is new."""
        with self._lock:
            self.ring.follow()

    def between_turns(self, look: Callable[[Known], None]) -> None:
        """See `past.Plant`."""
        with self._lock:
            look(self.ring)


class HistorianRole:
    """The role; its own `Changes` of membership."""

    def __init__(self, parts: Parts) -> None:
        """Standing by."""
        self._parts, self._plant = parts, FollowedPlant(parts)
        self._lock = threading.Lock()
        self._wanted = False
        self._history: BackgroundHistory | None = None
        self._membership: Membership | None = None
        self._trouble = ""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """See `Role`."""
        return []

    async def run(self) -> None:
        """See `Role`."""
        self._membership = await self._parts.join(GROUP, TOPIC, self)
        while True:
            self._membership.owned()  # raises what ended the membership: without one nothing is owned ever again
            await asyncio.to_thread(self._tick)
            await asyncio.sleep(_EVERY_S)

    async def drain(self) -> None:
        """See `Role`."""
        if self._membership is not None:
            await asyncio.to_thread(self._membership.close)

    def waits_for(self) -> str:
        """See `Role`: a process that stands by is ready."""
        history = self._history
        if self._membership is None or not self._membership.joined():
            return "membership of the group"
        return self._trouble or (history.trouble if history is not None else "")

    def gauges(self) -> list[Gauge]:
        """See `Role`."""
        owned = Gauge("powerflock_history_owned", float(self._wanted), "Whether this process keeps the history")
        return [owned, *(self._history.gauges() if self._history is not None else [])]

    def more_metrics(self) -> str:
        """See `Role`."""
        return ""

    def assigned(self, partitions: Sequence[int]) -> None:
        """See `Changes`."""
        with self._lock:
            self._wanted = True
        logger.info("powerflock historian: keeps the history (partitions %s)", list(partitions))

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Changes`: the step under way is ended first."""
        with self._lock:
            self._wanted, history = False, self._history
            self._history = None
        if history is not None:
            history.stop()
        logger.info("powerflock historian: stands by (partitions %s)", list(partitions))

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Changes`: the claim of whoever has it now fences this one's."""
        self.revoked(partitions)

    def _tick(self) -> None:
        """Follow the plant, and hand the groups' rows over."""
        with self._lock:
            if not self._wanted:
                return
            try:
                self._plant.follow()
                if self._history is None:
                    self._history = history_of(self._parts.settings, self._parts.log, self._parts.clock)
                    self._history.start(self._plant)
                turn = self._plant.ring.turn()
                if turn is not None:
                    self._history.offer(turn)
                self._trouble = ""
            except LogError as error:
                self._trouble = str(error)
                logger.warning("powerflock historian: %s", error)
