"""What the registry's database promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, update

from powerflock.autobidder.enrolment import follow
from powerflock.domain.enrolment import TOPIC, RegistryEntry, decode_entry
from powerflock.domain.errors import InconsistentRegistry, InvalidInput, LogError, NotFound, RegistryError
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Status
from powerflock.domain.registry import TABLE_COLUMNS, Registry
from powerflock.domain.site import DeviceSpec, SiteSpec
from powerflock.log.follower import Follower
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Fenced, Log
from powerflock.registry.database import Database
from powerflock.registry.outbox import DatabaseRegistrar, Outbox
from powerflock.registry.portable import lines, read
from powerflock.registry.store import Store
from powerflock.registry.tables import EVENTS, METADATA, OUTBOX, SITES
from tests import postgres
from tests.unit.plant.small import homes

PARTITIONS = 2
CAR = DeviceSpec("car", "ev_charger", rated_kw=7.4)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.sqlite"
    return postgres.new_database(request.getfixturevalue("postgres_server"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = opened(url)
    yield made
    made.database.close()


def from_database(store: Store, log: Log) -> tuple[Registry, Follower]:
    """The registry as the database has it, and the topic from there on: its end is asked for first."""
    follower = Follower(log, TOPIC, [log.end(TOPIC, partition) for partition in range(store.partitions)])
    registry = Registry(store.partitions)
    store.load(registry)
    return registry, follower


def from_topic(log: Log, partitions: int) -> tuple[Registry, Follower]:
    """The registry as the topic tells it."""
    registry, follower = Registry(partitions), Follower(log, TOPIC, [0] * partitions)
    list(follow(registry, follower))
    return registry, follower


def opened(url: str, partitions: int = PARTITIONS) -> Store:
    database = Database(url)
    database.migrate()
    times = itertools.count(1000)
    try:
        return Store(database, partitions, lambda: next(times))
    except InvalidInput:
        database.close()
        raise


def grown(spec: SiteSpec) -> SiteSpec:
    return msgspec.structs.replace(spec, devices=(CAR,))


def same(left: Registry, right: Registry) -> None:
    """The same rows, numbers and table arrays; a table numbers its places as it met them, so those go by name."""
    assert left.partitions == right.partitions
    for partition in range(left.partitions):
        assert left.standing(partition) == right.standing(partition)
        assert left.ends(partition) == right.ends(partition)
        ours, theirs = left.table(partition), right.table(partition)
        for name in TABLE_COLUMNS:
            if name != "place":
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert [ours.places[row] for row in ours.place] == [theirs.places[row] for row in theirs.place]


def published(store: Store) -> list[int]:
    with store.database.reading() as connection:
        return list(connection.execute(select(OUTBOX.c.published).order_by(OUTBOX.c.partition)).scalars())


def test_sites_get_rows_and_numbers_as_a_registry_in_memory_would_give(store: Store) -> None:
    memory = Registry(PARTITIONS)
    for specs in (homes(6), [grown(homes(3)[2]), *homes(8)[6:]], homes(8)[:2]):
        store.enrol(specs)
        for partition in range(PARTITIONS):
            memory.enrol(partition, [spec for spec in specs if partition_of(spec.site, PARTITIONS) == partition])
    loaded = Registry(PARTITIONS)
    store.load(loaded)
    same(loaded, memory)


def test_a_site_is_found_by_id_with_all_that_is_known_of_it(store: Store) -> None:
    store.enrol(homes(2))
    store.enrol([grown(homes(1)[0])])
    record = store.record("h0")
    assert record.spec == grown(homes(1)[0])
    assert len(record.devices) == 3
    assert record.updated_us > record.enrolled_us
    assert [each.site for each in store.records()] == ["h0", "h1"]
    assert [each.site for each in store.records(after="h0")] == ["h1"]
    with pytest.raises(NotFound, match="nobody"):
        store.record("nobody")


def test_enrolling_again_writes_nothing_and_refused_ones_are_named(store: Store) -> None:
    store.enrol([grown(spec) for spec in homes(3)])
    before = store.ends()
    again = store.enrol([grown(spec) for spec in homes(3)])
    assert (again.status, again.applied) == (Status.APPLIED, 3)
    assert store.ends() == before
    fewer = store.enrol([homes(1)[0], *homes(4)[3:]])
    assert (fewer.status, fewer.applied) == (Status.PARTIAL, 1)
    assert "add devices after the others" in fewer.reasons["h0"]


def test_a_topic_and_the_database_tell_the_same(store: Store) -> None:
    log = MemoryLog()
    outbox = Outbox(store, log, events_per_entry=2)
    store.enrol(homes(9))
    store.enrol([grown(homes(1)[0])])
    assert outbox.publish() == 10
    assert outbox.publish() == 0
    (by_database, following), (by_topic, _) = from_database(store, log), from_topic(log, PARTITIONS)
    same(by_database, by_topic)
    store.enrol(homes(12))
    outbox.publish()
    assert list(follow(by_database, following))
    same(by_database, from_topic(log, PARTITIONS)[0])
    assert by_database.sites == 12


def test_what_a_crash_after_sending_repeats_changes_nothing(store: Store) -> None:
    log = MemoryLog()
    outbox = Outbox(store, log)
    store.enrol(homes(5))
    outbox.publish()
    once = from_topic(log, PARTITIONS)[0]
    for partition in range(PARTITIONS):
        outbox.rewind(partition, 1)
    assert outbox.publish() == 3
    same(from_topic(log, PARTITIONS)[0], once)


def test_what_the_log_cannot_take_stays_in_the_outbox(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    outbox = Outbox(store, log)
    store.enrol(homes(4))

    def full(*_: object, **__: object) -> list[int]:
        msg = "the disk is full"
        raise LogError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(log, "transact", full)
        with pytest.raises(LogError, match="full"):
            outbox.publish()
    assert published(store) == [0, 0]
    assert outbox.publish() == 4


def test_an_owner_that_was_replaced_publishes_nothing(store: Store) -> None:
    log = MemoryLog()
    old, new = log.claim("plant", "old"), log.claim("plant", "new")
    store.enrol(homes(2))
    with pytest.raises(Fenced):
        Outbox(store, log).publish(old)
    assert published(store) == [0, 0]
    assert Outbox(store, log).publish(new) == 2


def test_a_plant_that_had_only_its_log_is_taken_over_once(store: Store) -> None:
    log = MemoryLog()
    for partition in range(PARTITIONS):
        own = [spec for spec in homes(7) if partition_of(spec.site, PARTITIONS) == partition]
        log.append(TOPIC, partition, msgspec.msgpack.encode(own[:2]))
        log.append(TOPIC, partition, msgspec.msgpack.encode([grown(own[0]), *own[2:]]))
    before = from_topic(log, PARTITIONS)[0]
    outbox = Outbox(store, log)
    registrar = DatabaseRegistrar(store, outbox)
    for _ in range(2):
        registrar.reconcile(from_topic(log, PARTITIONS)[0])
        outbox.publish()
    assert [log.end(TOPIC, partition) for partition in range(PARTITIONS)] == [3, 3]
    by_database, by_topic = from_database(store, log)[0], from_topic(log, PARTITIONS)[0]
    same(by_database, by_topic)
    assert [by_topic.standing(part) for part in range(PARTITIONS)] == [
        before.standing(part) for part in range(PARTITIONS)
    ]


def test_a_topic_that_was_lost_is_written_again(store: Store) -> None:
    store.enrol(homes(4))
    Outbox(store, MemoryLog()).publish()
    log = MemoryLog()
    outbox = Outbox(store, log)
    DatabaseRegistrar(store, outbox).reconcile(Registry(PARTITIONS))
    assert outbox.publish() == 4
    assert from_topic(log, PARTITIONS)[0].sites == 4


def test_a_database_older_than_the_log_is_refused(store: Store) -> None:
    store.enrol(homes(2))
    ahead = Registry(PARTITIONS)
    store.load(ahead)
    mine = [spec for spec in homes(9) if partition_of(spec.site, PARTITIONS) == 0]
    ahead.enrol(0, mine)
    with pytest.raises(InconsistentRegistry, match="older than the log"):
        DatabaseRegistrar(store, Outbox(store, MemoryLog())).reconcile(ahead)


def test_an_export_fills_an_empty_database_and_no_other(store: Store, tmp_path: Path) -> None:
    store.enrol(homes(6))
    store.enrol([grown(homes(1)[0])])
    text = list(lines(store))
    other = opened(f"sqlite:///{tmp_path}/other.sqlite")
    other.adopt(read(text))
    for ours, theirs in zip(store.records(), other.records(), strict=True):
        assert (ours.row, ours.devices, ours.spec) == (theirs.row, theirs.devices, theirs.spec)
        assert theirs.version > store.ends()[ours.partition].number - 1, "what followers know is not numbered again"
    with pytest.raises(InvalidInput, match="must be empty"):
        other.adopt(read(text))
    other.database.close()
    with pytest.raises(InvalidInput, match="cut short"):
        read(text[:-1])
    with pytest.raises(InvalidInput, match="line 1 of a registry export"):
        read([])


def test_another_number_of_partitions_is_refused(store: Store, url: str) -> None:
    with pytest.raises(InvalidInput, match=r"plant\.partitions is 3; must be 2"):
        opened(url, 3)


def test_the_tables_are_those_that_the_program_sees(store: Store) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_row_cannot_become_two_sites_even_by_a_defect(store: Store) -> None:
    store.enrol([spec for spec in homes(9) if partition_of(spec.site, PARTITIONS) == 0])
    with pytest.raises(RegistryError), store.database.writing() as connection:
        connection.execute(update(SITES).values(row=0))
    assert store.ends()[0].row > 1
    assert len({each.row for each in store.records(0)}) == store.ends()[0].row


CHILD = """
import sys
from powerflock.registry.database import Database
from powerflock.registry.store import Store
from tests.unit.plant.small import homes
url, me = sys.argv[1], int(sys.argv[2])
store = Store(Database(url), 2, lambda: 0)
print("ready", flush=True)
sys.stdin.readline()
everybody = homes(40)
for start in range(0, 40, 4):
    at = (start + 4 * me) % 40
    assert not store.enrol(everybody[at : at + 8]).reasons
"""


def test_processes_that_enrol_at_once_never_share_a_row_nor_skip_a_number(store: Store, url: str) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(me)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for me in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.communicate("go\n", timeout=300)
    assert [child.returncode for child in children] == [0, 0, 0]
    assert {each.site for each in store.records()} == {spec.site for spec in homes(40)}
    for partition, ends in enumerate(store.ends()):
        records = list(store.records(partition))
        assert [each.row for each in records] == list(range(ends.row))
        assert sorted(number for each in records for number in each.devices) == list(range(ends.device))
        with store.database.reading() as connection:
            own = select(EVENTS.c.number).where(EVENTS.c.partition == partition).order_by(EVENTS.c.number)
            assert list(connection.execute(own).scalars()) == list(range(1, ends.number))
    with store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(EVENTS)).scalar_one() == 40, "nobody enrolled twice"


def test_publishers_at_once_keep_the_order(store: Store, url: str) -> None:
    log, second = MemoryLog(), opened(url)
    store.enrol(homes(30))
    workers = [threading.Thread(target=Outbox(own, log, events_per_entry=1).publish) for own in (store, second, store)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    second.database.close()
    for partition, ends in enumerate(store.ends()):
        entries = [decode_entry(entry.payload, {}) for entry in log.read(TOPIC, partition, 0)]
        numbers = [change.number for entry in entries if isinstance(entry, RegistryEntry) for change in entry.changes]
        assert numbers == list(range(1, ends.number))
