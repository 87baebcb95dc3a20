"""From the database to the log: events go to the registry topic in order, at least once.

Invariants: an event is in the topic before it counts as published, so a crash between the two repeats it, which the
fold ignores; one process at a time publishes a partition, so an older event never follows a newer one of the same site.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select, update

from powerflock.domain.enrolment import TOPIC, SiteChange, encode_changes
from powerflock.domain.outcomes import Outcome
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec
from powerflock.log.port import Claim, Log
from powerflock.registry.store import Store, check_not_older
from powerflock.registry.tables import EVENTS, OUTBOX, PARTITIONS


class Outbox:
    """Sends a store's events on; with `events_per_entry` = 1 a topic may be compacted by site."""

    def __init__(self, store: Store, log: Log, events_per_entry: int = 500) -> None:
        """Publishes nothing yet."""
        self._store, self._log, self._most = store, log, events_per_entry

    def publish(self, claim: Claim | None = None) -> int:
        """Send what is not yet in the topic; returns how many events. A stale `claim` raises `Fenced`."""
        due = (
            select(OUTBOX.c.partition)
            .join(PARTITIONS, PARTITIONS.c.partition == OUTBOX.c.partition)
            .where(OUTBOX.c.published < PARTITIONS.c.events)
            .order_by(OUTBOX.c.partition)
        )
        with self._store.database.reading() as connection:
            partitions = list(connection.execute(due).scalars())
        sent = 0
        for partition in partitions:
            while more := self._publish_some(partition, claim):
                sent += more
        return sent

    def rewind(self, partition: int, number: int) -> None:
        """Events after `number` count as unpublished: the topic does not have them."""
        own = (OUTBOX.c.partition == partition) & (OUTBOX.c.published > number)
        with self._store.database.writing() as connection:
            connection.execute(update(OUTBOX).where(own).values(published=number))

    def _publish_some(self, partition: int, claim: Claim | None) -> int:
        """One entry's worth of events, the outbox's row locked so that nobody overtakes."""
        own = OUTBOX.c.partition == partition
        with self._store.database.writing() as connection:
            published = connection.execute(select(OUTBOX.c.published).where(own).with_for_update()).scalar_one()
            query = (
                select(EVENTS.c.number, EVENTS.c.row, EVENTS.c.devices, EVENTS.c.spec)
                .where((EVENTS.c.partition == partition) & (EVENTS.c.number > published))
                .order_by(EVENTS.c.number)
                .limit(self._most)
            )
            rows = connection.execute(query)
            changes = [msgspec.convert(row, SiteChange, from_attributes=True) for row in rows]
            if changes:
                self._log.transact([(TOPIC, partition, encode_changes(changes))], claim=claim)
                connection.execute(update(OUTBOX).where(own).values(published=changes[-1].number))
        return len(changes)


class DatabaseRegistrar:
    """The runner's registrar on a database."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        """Both of the same plant."""
        self._store, self._outbox = store, outbox

    def reconcile(self, registry: Registry) -> None:
        """Fill an empty database from the topic; send again what the topic lost; refuse a database that is behind."""
        if registry.sites and all(ends.number == 1 for ends in self._store.ends()):
            self._store.adopt(registry)
        check_not_older(self._store, registry)
        for partition in range(registry.partitions):
            self._outbox.rewind(partition, registry.ends(partition).number - 1)

    def enrol(self, specs: Sequence[SiteSpec], claim: Claim) -> Outcome:
        """Keep `specs` in the database; the claim is checked where they are published."""
        del claim
        return self._store.enrol(specs)

    def publish(self, claim: Claim) -> None:
        """See `Outbox.publish`."""
        self._outbox.publish(claim)
