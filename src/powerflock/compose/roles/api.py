"""`powerflock api`: page, REST and stream of a plant of many processes; any number of them, and none owns anything.

Lists, groups, bids and history come from the topics. One site whole is asked of the twins process that owns it, and an
alarm's acknowledgement of the autobidder: who that is, Kafka's own group membership says. Enrolments go into the
registry's database, and from there into the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec
from starlette.routing import BaseRoute

from powerflock.alarms import Alarm, AlarmBook
from powerflock.api.models import SiteDetail
from powerflock.autobidder.alarm_desk import newest_book
from powerflock.autobidder.records import Counts, IntervalBegan, PlantRow
from powerflock.autobidder.saving import Saving
from powerflock.compose.directory import Directory
from powerflock.compose.front import api_of, api_server, labels_of
from powerflock.compose.gauges import Gauge
from powerflock.compose.parts import ring_settings
from powerflock.compose.prices import LivePrices
from powerflock.compose.registry import registry_store
from powerflock.compose.roles import autobidder, twins
from powerflock.compose.roles.followed import Followed
from powerflock.compose.roles.process import Parts, logger
from powerflock.compose.sockets import listen
from powerflock.compose.view import LiveView
from powerflock.domain.errors import LogError, NotFound, NotReady, RegistryError
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec
from powerflock.gateway.tokens import issue
from powerflock.market.account import Settlement
from powerflock.plant.model import Turn
from powerflock.registry.outbox import Outbox

_PATIENCE_S, _EVERY_S = 5.0, 1.0


class Followers:
    """The `Source` of an API process: what the topics tell, and whom to ask for the rest."""

    counts: Counts | None = None
    saving: Saving | None = None

    def __init__(self, parts: Parts) -> None:
        """Nothing read yet."""
        self._parts = parts
        partitions = parts.settings.plant.partitions
        self.ring = Followed(parts.log, partitions, ring_settings(parts.settings))
        self.store = registry_store(parts.settings, parts.clock.now_us)
        self._outbox = Outbox(self.store, parts.log)
        self.book = AlarmBook()

    @property
    def rows(self) -> Sequence[PlantRow]:
        """See `Source`."""
        return self.ring.rows

    @property
    def awards(self) -> Sequence[IntervalBegan]:
        """See `Source`."""
        return self.ring.awards

    @property
    def settled(self) -> Sequence[Settlement]:
        """See `Source`."""
        return self.ring.settled

    @property
    def missing(self) -> Sequence[int]:
        """See `Source`."""
        return self.ring.recovering

    def follow(self) -> None:
        """Read what is new; enrolments that the log does not have yet go there."""
        self._outbox.publish()
        self.ring.follow()
        self.book = newest_book(self._parts.log)

    def enrol(self, specs: Sequence[SiteSpec]) -> Outcome:
        """See `Source`."""
        outcome = self.store.enrol(specs)
        self._outbox.publish()
        return outcome

    def acknowledge(self, alarm_id: str, who: str, now_us: int) -> Alarm:
        """See `Source`: the autobidder that owns the portfolio keeps the book."""
        owner = self._parts.groups.owners(autobidder.GROUP, autobidder.TOPIC).get(0)
        if owner is None:
            raise NotReady("no autobidder owns the portfolio now. Try again in a few seconds.")
        body = msgspec.json.encode({"by": who, "now_us": now_us})
        return msgspec.json.decode(ask(owner, f"/v1/alarms/{quote(alarm_id, safe='')}", body), type=Alarm)

    def detail(self, site: str, turn: Turn, directory: Directory) -> SiteDetail:
        """One site whole, from the twins process that owns it."""
        del turn, directory
        partition = partition_of(site, self._parts.settings.plant.partitions)
        owner = self._parts.groups.owners(twins.GROUP, twins.TOPIC).get(partition)
        if owner is None:
            raise NotReady(
                f"no twins process owns partition {partition} of site {site} now. Try again in a few seconds."
            )
        return msgspec.json.decode(ask(owner, f"/v1/sites/{quote(site, safe='')}"), type=SiteDetail)


def ask(owner: str, path: str, body: bytes | None = None) -> bytes:
    """What the process at `owner` answers; `NotFound` or `NotReady` as it says, or where it does not answer."""
    request = Request(f"http://{owner}{path}", body)
    try:
        with urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - as above
            return bytes(answer.read())
    except HTTPError as error:
        said = error.read().decode(errors="replace")
        raise (NotFound(said) if error.code == 404 else NotReady(f"{owner} answers {error.code}: {said}")) from error
    except (URLError, OSError, HTTPException) as error:
        raise NotReady(f"{owner} does not answer: {error}. Try again in a few seconds.") from error


class Api:
    """The role."""

    def __init__(self, parts: Parts) -> None:
        """Opens the database of the registry."""
        self._parts, self._source = parts, Followers(parts)
        prices = LivePrices(parts.settings, parts.clockwork.first_us)
        secret = parts.files.secret
        self._view = LiveView(parts.clock, labels_of(prices), lambda site: issue(secret, site), self._source.detail)
        self._trouble = "the topics are read"
        self._stream_metrics: Callable[[], str] | None = None

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """See `Role`."""
        return []

    async def run(self) -> None:
        """See `Role`."""
        own = self._parts.settings.api
        app = api_of(self._parts.settings, self._view, self._parts.files.enrol_key)
        self._stream_metrics = app.state.stream_metrics
        server = api_server(app, self._parts.settings)
        listening = listen(own.host, own.port, "api.port")
        logger.info("powerflock api: the plant is at http://%s:%d", own.host, listening.getsockname()[1])
        serving = asyncio.create_task(server.serve([listening]))
        try:
            await asyncio.gather(
                self._follow(), asyncio.shield(serving)
            )  # a cancelled server would not end its answers
        finally:
            server.should_exit = True
            await asyncio.wait({serving}, timeout=3.0)

    async def drain(self) -> None:
        """See `Role`: there is nothing to give back."""

    def waits_for(self) -> str:
        """See `Role`."""
        return self._trouble

    def gauges(self) -> list[Gauge]:
        """See `Role`."""
        ring = self._source.ring
        return [
            Gauge("powerflock_entries_refused_total", float(ring.refused), "Entries not understood", kind="counter"),
            Gauge("powerflock_partitions_missing", float(len(ring.recovering)), "Partitions that do not report"),
        ]

    def more_metrics(self) -> str:
        """See `Role`: the page's own, which are at its own port too."""
        return self._view.metrics() + (self._stream_metrics() if self._stream_metrics is not None else "")

    async def _follow(self) -> None:
        """The topics, once a second; what cannot be read is tried again, and shown."""
        source, vitals = self._source, self._view.vitals
        while True:
            try:
                await asyncio.to_thread(source.follow)
                self._view.turn = await asyncio.to_thread(source.ring.turn)
                self._view.runner = source
                self._trouble = vitals.trouble = ""
            except (LogError, RegistryError) as error:
                self._trouble = vitals.trouble = str(error)
                logger.warning("powerflock api: %s", error)
            await asyncio.sleep(_EVERY_S)
