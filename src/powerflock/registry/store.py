"""Enrolment in the database: decided under the partition's lock, the site and its event kept in one transaction.

Invariants: of two processes that enrol at once the second decides on what the first has kept, so no row is two sites'
and no site has two rows; events of a partition are numbered without gaps. Must not know the log: `outbox` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from powerflock.domain.enrolment import Ends, SiteChange, Standing, decide
from powerflock.domain.errors import InconsistentRegistry, InvalidInput, NotFound
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec
from powerflock.registry.database import Database
from powerflock.registry.tables import EVENTS, OUTBOX, PARTITIONS, SITES

_AT_ONCE = 500


class SiteRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site as the database has it."""

    site: str
    partition: int
    row: int
    devices: tuple[int, ...]
    spec: SiteSpec
    version: int
    enrolled_us: int
    updated_us: int


class Store:
    """The registry of a plant of `partitions` partitions; `now_us` tells when a site was enrolled."""

    def __init__(self, database: Database, partitions: int, now_us: Callable[[], int]) -> None:
        """Open it; a database of another number of partitions is refused, a new one takes this one."""
        self.database, self.partitions, self._now_us = database, partitions, now_us
        database.check_version()
        self._found()

    def enrol(self, specs: Sequence[SiteSpec]) -> Outcome:
        """Keep `specs` durably, partition by partition; refused ones come back with their reasons."""
        reasons: dict[str, str] = {}
        own: dict[int, list[SiteSpec]] = {}
        for spec in specs:
            own.setdefault(partition_of(spec.site, self.partitions), []).append(spec)
        for partition, asked in sorted(own.items()):
            with self.database.writing() as connection:
                ends = self._lock(connection, partition)
                known = _standing(connection, [spec.site for spec in asked])
                decision = decide(partition, self.partitions, asked, known, ends)
                self._keep(connection, partition, decision.changes, decision.ends, known)
            reasons |= decision.reasons
        return Outcome.of(len(specs) - len(reasons), reasons)

    def adopt(self, registry: Registry) -> None:
        """Fill an empty database with all that `registry` holds, rows and numbers as they are; else `InvalidInput`."""
        if registry.partitions != self.partitions:
            bound = f"must be {self.partitions} as in the registry {self.database.shown}"
            raise InvalidInput("partitions to be taken over", registry.partitions, bound)
        with self.database.writing() as connection:
            for partition in range(self.partitions):
                if self._lock(connection, partition) != Ends():
                    raise InvalidInput("registry", self.database.shown, "must be empty to be filled from another")
                ends, standing = registry.ends(partition), registry.standing(partition)
                changes = [SiteChange(number, *site) for number, site in enumerate(standing, ends.number)]
                ends = ends._replace(number=ends.number + len(changes))
                self._keep(connection, partition, changes, ends, {})
                if changes:
                    published = update(OUTBOX).where(OUTBOX.c.partition == partition)
                    connection.execute(published.values(published=changes[0].number - 1))

    def load(self, registry: Registry) -> None:
        """Fold every site into `registry`: the same state that the topic gives."""
        for partition in range(self.partitions):
            changes = [SiteChange(each.version, each.row, each.devices, each.spec) for each in self.records(partition)]
            registry.apply(partition, changes)

    def records(self, partition: int | None = None, *, after: str = "") -> Iterator[SiteRecord]:
        """The sites, of one partition by row or of all by id, from the one after `after` on."""
        query = select(SITES).where(SITES.c.site > after)
        if partition is None:
            query = query.order_by(SITES.c.site)
        else:
            query = query.where(SITES.c.partition == partition).order_by(SITES.c.row)
        with self.database.reading() as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                yield _record(row)

    def record(self, site: str) -> SiteRecord:
        """One site, or `NotFound`."""
        with self.database.reading() as connection:
            row = connection.execute(select(SITES).where(SITES.c.site == site)).first()
        if row is None:
            msg = f"site {site!r} is not in the registry"
            raise NotFound(msg)
        return _record(row)

    def ends(self) -> list[Ends]:
        """What comes next in each partition."""
        with self.database.reading() as connection:
            rows = connection.execute(select(PARTITIONS).order_by(PARTITIONS.c.partition)).all()
        return [_ends(*row[1:]) for row in rows]

    def _found(self) -> None:
        """Make the partitions' rows in a new database; check them in a known one."""
        with self.database.writing() as connection:
            if not self.database.embedded:
                connection.exec_driver_sql("LOCK TABLE partitions IN EXCLUSIVE MODE")
            known = connection.execute(select(func.count()).select_from(PARTITIONS)).scalar_one()
            if known == 0:
                ends = {"rows": 0, "devices": 0, "events": 0}
                connection.execute(insert(PARTITIONS), [{"partition": each} | ends for each in range(self.partitions)])
                outbox = [{"partition": each, "published": 0} for each in range(self.partitions)]
                connection.execute(insert(OUTBOX), outbox)
            elif known != self.partitions:
                raise InvalidInput(
                    "plant.partitions", self.partitions, f"must be {known} as in the registry {self.database.shown}",
                    "It is fixed once the registry exists.",
                )  # fmt: skip

    def _lock(self, connection: Connection, partition: int) -> Ends:
        """The partition's ends, its row locked until the transaction ends."""
        row = connection.execute(select(PARTITIONS).where(PARTITIONS.c.partition == partition).with_for_update()).one()
        return _ends(*row[1:])

    def _keep(
        self,
        connection: Connection,
        partition: int,
        changes: Sequence[SiteChange],
        ends: Ends,
        known: dict[str, Standing],
    ) -> None:
        """Write changed sites, their events and the partition's ends."""
        if not changes:
            return
        now = self._now_us()
        connection.execute(insert(EVENTS), [_event(partition, change, now) for change in changes])
        newest = {change.spec.site: change for change in changes}
        rows = [_site(partition, change, now) for change in newest.values()]
        if new := [row | {"enrolled_us": now} for row in rows if row["site"] not in known]:
            connection.execute(insert(SITES), new)
        for row in rows:
            if row["site"] in known:
                connection.execute(update(SITES).where(SITES.c.site == row["site"]).values(**row))
        values = {"rows": ends.row, "devices": ends.device, "events": ends.number - 1}
        connection.execute(update(PARTITIONS).where(PARTITIONS.c.partition == partition).values(**values))


def check_not_older(store: Store, registry: Registry) -> None:
    """Raise `InconsistentRegistry` if the topic, folded into `registry`, knows more than the database."""
    for partition, ends in enumerate(store.ends()):
        if registry.ends(partition).number > ends.number:
            raise InconsistentRegistry(
                f"registry {store.database.shown}: partition {partition} ends with event {ends.number - 1}, the log "
                f"knows event {registry.ends(partition).number - 1}. The database is older than the log: restore a "
                "newer copy, or name an empty one, which is then filled from the log."
            )


def _standing(connection: Connection, sites: Sequence[str]) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for start in range(0, len(sites), _AT_ONCE):
        query: Select[Any] = select(SITES).where(SITES.c.site.in_(sites[start : start + _AT_ONCE]))
        for row in connection.execute(query):
            record = _record(row)
            found[record.site] = Standing(record.row, record.devices, record.spec)
    return found


def _record(row: Row[Any]) -> SiteRecord:
    return msgspec.convert(row, SiteRecord, from_attributes=True)


def _ends(rows: int, devices: int, events: int) -> Ends:
    return Ends(rows, devices, events + 1)


def _event(partition: int, change: SiteChange, now_us: int) -> dict[str, object]:
    return {
        "partition": partition,
        "number": change.number,
        "row": change.row,
        "devices": change.devices,
        "spec": change.spec,
        "time_us": now_us,
    }


def _site(partition: int, change: SiteChange, now_us: int) -> dict[str, object]:
    return {
        "site": change.spec.site,
        "partition": partition,
        "row": change.row,
        "devices": change.devices,
        "spec": change.spec,
        "version": change.number,
        "updated_us": now_us,
    }
