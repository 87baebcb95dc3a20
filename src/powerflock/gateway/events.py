"""What happens to sessions and commands, into the log: links that come up or go down, and edges' answers.

Invariants: an event of a site follows its earlier ones; while the log fails the newest of each site wait, one of its
link and one of its commands, so memory is bounded; nothing here ever holds back readings or commands. Links from before
this gateway's start are declared down before any session opens. Must not know sockets. All methods but `run`'s writing
belong to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TypeAlias

import numpy as np

from powerflock.domain.batches import encode
from powerflock.domain.clock import Clock
from powerflock.domain.columns import SITE_EVENT, SiteEventKind
from powerflock.domain.errors import LogError
from powerflock.domain.outcomes import Status
from powerflock.gateway.batcher import TOPIC
from powerflock.log.port import Log

EVERY_SITE = int(np.iinfo(np.uint32).max)
_ANSWERS = {Status.APPLIED: SiteEventKind.APPLIED, Status.EXPIRED: SiteEventKind.EXPIRED}
_PAUSE_S = 1.0
_logger = logging.getLogger(__name__)
_Row: TypeAlias = tuple[int, int, int, int, int]


class Events:
    """Collects site events and writes them within `batch_ms`, in the topic of the readings."""

    def __init__(self, log: Log, clock: Clock, batch_ms: int, gateway: int) -> None:
        """For the gateway of this number."""
        self._log, self._clock, self._wait_s, self._gateway = log, clock, batch_ms / 1000, gateway
        self._pending: dict[tuple[int, int, bool], _Row] = {}
        self._sessions: dict[tuple[int, int], int] = {}
        self._newest = 0
        self._some, self._stopped = asyncio.Event(), asyncio.Event()

    def opened(self, route: tuple[int, int]) -> None:
        """The site at `route` (partition, row) has a session, in the place of any other."""
        self._newest = max(self._newest + 1, self._clock.now_us())
        self._sessions[route] = self._newest
        self._add(route, SiteEventKind.LINK_UP, self._newest, link=True)

    def closed(self, route: tuple[int, int]) -> None:
        """The site's session is gone and it has no other."""
        self._add(route, SiteEventKind.LINK_DOWN, self._sessions.pop(route, self._newest), link=True)

    def answered(self, route: tuple[int, int], seq: int, status: Status) -> None:
        """The site's edge said what became of command `seq`."""
        self._add(route, _ANSWERS.get(status, SiteEventKind.REFUSED), seq, link=False)

    def declare_down(self, partitions: int) -> None:
        """Write that no link of this gateway is up, whatever was known before; raises `LogError`."""
        row = (EVERY_SITE, int(SiteEventKind.LINK_DOWN), self._gateway, 0, self._clock.now_us())
        payload = encode(np.array([row], SITE_EVENT))
        self._log.append_many([(TOPIC, partition, payload) for partition in range(partitions)])

    def stop(self) -> None:
        """Let `run` write what is pending, once, and return."""
        self._stopped.set()
        self._some.set()

    async def run(self) -> None:
        """Write until stopped; what a failing log does not take is tried again."""
        while not self._stopped.is_set() or self._pending:
            await self._some.wait()
            await self._pause(self._wait_s)
            if not self._stopped.is_set():
                self._some.clear()
            taken, self._pending = self._pending, {}
            try:
                if taken:
                    await asyncio.to_thread(self._log.append_many, _entries(taken))
            except LogError as error:
                _logger.warning("events of sessions wait for the log: %s", error)
                if self._stopped.is_set():
                    return
                newer, self._pending = self._pending, taken
                for key, row in newer.items():
                    self._put(key, row)
                self._some.set()
                await self._pause(_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not once stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _add(self, route: tuple[int, int], kind: SiteEventKind, seq: int, *, link: bool) -> None:
        self._put((*route, link), (route[1], int(kind), self._gateway, seq, self._clock.now_us()))
        self._some.set()

    def _put(self, key: tuple[int, int, bool], row: _Row) -> None:
        """Last in the order, in the place of an older one."""
        self._pending.pop(key, None)
        self._pending[key] = row


def _entries(taken: dict[tuple[int, int, bool], _Row]) -> list[tuple[str, int, bytes]]:
    """A log entry for each partition."""
    rows: dict[int, list[_Row]] = {}
    for (partition, _, _), row in taken.items():
        rows.setdefault(partition, []).append(row)
    return [(TOPIC, partition, encode(np.array(own, SITE_EVENT))) for partition, own in rows.items()]
