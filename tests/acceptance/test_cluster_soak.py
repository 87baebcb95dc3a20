"""The long faults of a plant of processes: many rebalances, and brokers that die under it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.acceptance.cluster import (
    JUDGED,
    PATIENCE_S,
    Cluster,
    check_account,
    check_commands,
    check_readings,
    plant,
    tell,
)
from tests.acceptance.networks import apart
from tests.acceptance.processes import free_port, until
from tests.kafka import brokers

HOMES, INTERVAL_US, REBALANCES = 40, 300_000_000, 50
QUIET = 7
"""Intervals between two deaths: energy moves among those near one, and the check's bounds are for some fifty in all."""
pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * 3600)]


def check(cluster: Cluster) -> None:
    """Everything that was sent, acknowledged, stored, commanded, applied and settled."""
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    cluster.settles_s(max(2, JUDGED + 4 - cluster.settled))  # the first ones, while it starts, do not count
    cluster.finish()
    for figure in (check_readings(cluster), check_commands(cluster), check_account(cluster, INTERVAL_US)):
        tell(figure)


def test_fifty_rebalances_lose_nothing(tmp_path: Path, kafka_servers: str) -> None:
    """A third twins process comes and goes, by turns in order and by SIGKILL, and each time partitions move."""
    with plant(tmp_path, kafka_servers, HOMES, kafka={"topic_prefix": "rebalances."}) as cluster:
        third = cluster.add("twins", "t3")
        for number in range(REBALANCES):
            cluster.replace(third)
            until("the third to own a partition", lambda: bool(third.owned()), PATIENCE_S)
            before, partitions = cluster.newest(), third.owned()
            if number % 2:
                third.kill()
            else:
                assert third.end() == 0
            taken_s = cluster.taken_over_s(partitions, before)
            tell(f"rebalance {number + 1}: {len(partitions)} partitions taken over in {taken_s:.1f} s")
        until("every partition to have an owner", cluster.shared, PATIENCE_S)
        check(cluster)


@pytest.mark.parametrize("more_s", [0, 45])
def test_a_twins_process_that_is_cut_off_writes_nothing_more_as_an_owner(tmp_path: Path, more_s: int) -> None:
    """It goes on alone behind its cut cable, others take its partitions over, and it comes back as one among them."""
    brokers.require()
    kafka, port = brokers.Cluster(tmp_path / "brokers", 1), free_port()
    with apart() as network:
        kafka.add_listener("APART", port, {}, network.outside)
        kafka.start()
        try:
            with plant(tmp_path, kafka.bootstrap, HOMES) as cluster:
                third = cluster.add_apart("twins", "t3", f"{network.outside}:{port}", network)
                cluster.replace(third)
                until("every partition to have an owner", cluster.shared, PATIENCE_S)
                before, partitions = cluster.newest(), third.owned()
                network.cut()
                taken_s = cluster.taken_over_s(partitions, before)
                until("every home to be fresh", cluster.covered, PATIENCE_S)
                time.sleep(more_s)
                network.heal()
                until("every partition to have an owner again", cluster.shared, PATIENCE_S)
                assert third.alive, third.said()[-2000:]
                tell(f"twins process cut off: {len(partitions)} partitions taken over in {taken_s:.1f} s")
                for part in partitions:
                    epochs = [epoch for epoch, _ in cluster.seen.reports[part]]
                    assert epochs == sorted(epochs), f"an owner of partition {part} wrote after its successor"
                check(cluster)
        finally:
            kafka.stop()


def test_every_broker_of_three_may_die_once(tmp_path: Path) -> None:
    """Among them are the leader of each partition and the coordinator of each group."""
    brokers.require()
    with (
        brokers.running(tmp_path / "brokers", 3) as kafka,
        plant(tmp_path, kafka.bootstrap, HOMES, kafka={"replication": 3, "min_insync_replicas": 2}) as cluster,
    ):
        for broker in kafka.brokers.values():
            before = cluster.newest()
            broker.kill()
            went_on_s = cluster.reports_again_s(before)
            cluster.settles_s(2)
            broker.start()
            kafka.wait()
            until("every home to be fresh", cluster.covered, PATIENCE_S)
            tell(f"broker {broker.node} killed: every partition reported again after {went_on_s:.1f} s")
            cluster.settles_s(QUIET)
        check(cluster)
