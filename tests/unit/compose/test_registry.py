"""A plant keeps its sites in a database: on its first start with one it takes over those of its log."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from powerflock.autobidder.enrolment import Registrar, by_partition
from powerflock.autobidder.runner import Runner
from powerflock.compose.registry import registrar_of, registry_store, registry_url
from powerflock.domain.enrolment import TOPIC
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import Registry
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Log
from powerflock.settings import Settings, load
from tests.unit.plant.small import homes, ring_of

PARTITIONS = 2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(overrides={"plant.data_dir": tmp_path, "plant.partitions": PARTITIONS}).settings


def registrar(settings: Settings, log: Log) -> Registrar:
    made = registrar_of(settings, log, lambda: 0)
    assert made is not None
    return made


def runner_of(settings: Settings, log: Log) -> Runner:
    runner = Runner(
        log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), None, registrar(settings, log)
    )  # fmt: skip
    runner.recover()
    return runner


def sites(runner: Runner) -> list[list[str]]:
    return [[spec.site for spec in runner.ring.registry.specs(part)] for part in range(PARTITIONS)]


def test_a_plant_that_had_only_its_log_goes_on_with_the_same_sites_in_the_database(settings: Settings) -> None:
    log = MemoryLog()
    for partition, own in by_partition(homes(6), PARTITIONS).items():
        log.append(TOPIC, partition, msgspec.msgpack.encode(own))
    before = sites(Runner(log, lambda epoch: ring_of(Registry.empty(PARTITIONS), epoch), None))
    assert before == [[], []], "nothing is known before it recovers"
    runner = runner_of(settings, log)
    stored = {record.site: (record.partition, record.row) for record in registry_store(settings, lambda: 0).records()}
    assert stored == {
        site: (partition, row) for partition, own in enumerate(sites(runner)) for row, site in enumerate(own)
    }
    assert len(stored) == 6
    assert runner.enrol(homes(8)).applied == 8
    assert sites(runner_of(settings, log)) == sites(runner)


def test_enrolment_goes_through_the_database_and_the_log_to_the_ring(settings: Settings) -> None:
    log = MemoryLog()
    runner = runner_of(settings, log)
    assert runner.enrol(homes(4)).applied == 4
    assert sum(shard.sites for shard in runner.ring.shards) == 4
    assert sum(log.end(TOPIC, part) for part in range(PARTITIONS)) == len(by_partition(homes(4), PARTITIONS))
    assert {record.site for record in registry_store(settings, lambda: 0).records()} == {"h0", "h1", "h2", "h3"}


def test_a_site_that_another_process_enrolled_comes_into_the_ring_by_itself(settings: Settings) -> None:
    log = MemoryLog()
    runner = runner_of(settings, log)
    registry_store(settings, lambda: 0).enrol(homes(3))
    runner.publish()
    runner.tick(1_768_399_200_000_000)
    assert sum(shard.sites for shard in runner.ring.shards) == 3


def test_a_log_that_was_lost_is_filled_from_the_database(settings: Settings) -> None:
    first = runner_of(settings, MemoryLog())
    first.enrol(homes(5))
    assert sites(runner_of(settings, MemoryLog())) == sites(first)


def test_the_url_comes_from_its_file_and_the_default_lies_in_the_data_folder(tmp_path: Path) -> None:
    own = load(overrides={"plant.data_dir": tmp_path}).settings
    assert registry_url(own) == f"sqlite:///{tmp_path}/registry.sqlite"
    (tmp_path / "url").write_text("postgresql+psycopg://me:secret@db/plant\n")
    named = load(overrides={"registry.url_file": tmp_path / "url"}).settings
    assert registry_url(named) == "postgresql+psycopg://me:secret@db/plant"
    (tmp_path / "url").write_text("postgresql://me:secret@db/plant\n")
    assert registry_url(named) == "postgresql+psycopg://me:secret@db/plant", "as operators of PostgreSQL hand it out"
    with pytest.raises(InvalidInput, match="url_file"):
        registry_url(load(overrides={"registry.url_file": tmp_path / "gone"}).settings)


def test_a_log_that_forgets_has_no_database_of_its_own(tmp_path: Path) -> None:
    own = load(overrides={"plant.data_dir": tmp_path, "log.url": "memory:"}).settings
    assert registrar_of(own, MemoryLog(), lambda: 0) is None
    assert not (tmp_path / "registry.sqlite").exists()
