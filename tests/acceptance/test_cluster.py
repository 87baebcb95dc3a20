"""Faults of a whole plant of processes under load: nothing acknowledged is lost, nothing takes effect twice.

One plant lives through all of these tests, in their order; the last one compares everything that was sent,
acknowledged, stored, commanded, applied and settled.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from powerflock.domain.clock import to_rfc3339
from powerflock.plant.messages import decode_report
from tests.acceptance.cluster import (
    PATIENCE_S,
    Cluster,
    check_account,
    check_commands,
    check_readings,
    owns_portfolio,
    plant,
    tell,
)
from tests.acceptance.processes import until

HOMES, INTERVAL_US = 40, 300_000_000
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka_servers: str) -> Iterator[Cluster]:
    with plant(tmp_path_factory.mktemp("cluster"), kafka_servers, HOMES, kafka={"topic_prefix": "faults."}) as running:
        yield running


def test_awards_are_delivered_by_many_processes(cluster: Cluster) -> None:
    until("an award to be settled", lambda: any(item.award_mw for item in cluster.seen.settled), PATIENCE_S)
    until("every partition to have an owner", cluster.shared, PATIENCE_S)
    assert cluster.got("/api/v1/sites?limit=1")["total"] == HOMES


def test_homes_come_back_to_a_gateway_that_was_killed(cluster: Cluster) -> None:
    gateway = cluster.nodes["g1"]
    gateway.kill()
    cluster.replace(gateway)
    back_s = until("every session", lambda: gateway.metrics().get("powerflock_gateway_sessions") == HOMES, PATIENCE_S)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    tell(f"gateway killed: every session back {back_s:.1f} s after its return")


def test_the_other_twins_process_takes_over_from_one_that_was_killed(cluster: Cluster) -> None:
    killed, before = cluster.owner("twins"), cluster.newest()
    partitions = killed.owned()
    killed.kill()
    taken_s = cluster.taken_over_s(partitions, before)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    cluster.replace(killed)
    until("the partitions to be shared again", cluster.shared, PATIENCE_S)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    tell(f"twins process killed: {len(partitions)} partitions taken over in {taken_s:.1f} s")


def test_the_standby_goes_on_with_the_account_of_an_autobidder_that_was_killed(cluster: Cluster) -> None:
    killed, settled = cluster.owner("autobidder"), len(cluster.seen.settled)
    killed.kill()
    taken_s = until(
        "the standby to own the portfolio",
        lambda: any(map(owns_portfolio, cluster.nodes.values())),
        PATIENCE_S,
    )
    cluster.settles_s(2)
    until(
        "the page to show them",
        lambda: cluster.got("/api/v1/state")["account"]["intervals"] >= settled + 2,
        PATIENCE_S,
    )
    cluster.replace(killed)
    tell(f"autobidder killed: the standby owned the portfolio after {taken_s:.1f} s")


def test_an_api_process_that_was_killed_shows_the_same_plant_again(cluster: Cluster) -> None:
    process, before = cluster.nodes["p1"], cluster.got("/api/v1/accounts?limit=500")
    process.kill()
    cluster.replace(process)
    until("every home to be shown fresh", cluster.covered, PATIENCE_S)
    after = {row["interval_start"]: row for row in cluster.got("/api/v1/accounts?limit=500")}
    revised = [row for row in before if after[row["interval_start"]]["revision"] > row["revision"]]
    assert [row for row in before if row != after[row["interval_start"]]] == revised
    assert len(revised) < len(before)


def test_two_roles_killed_at_once_are_taken_over(cluster: Cluster) -> None:
    twins, autobidder, before = cluster.owner("twins"), cluster.owner("autobidder"), cluster.newest()
    partitions = twins.owned()
    twins.kill()
    autobidder.kill()
    taken_s = cluster.taken_over_s(partitions, before)
    cluster.settles_s(2)
    for node in (twins, autobidder):
        cluster.replace(node)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    tell(f"twins process and autobidder killed: {len(partitions)} partitions taken over in {taken_s:.1f} s")


def test_a_twins_process_that_stood_still_writes_nothing_more_as_an_owner(cluster: Cluster) -> None:
    """It wakes believing that it is the owner still: the group tells it, or the brokers refuse what it writes first."""
    stopped, before = cluster.owner("twins"), cluster.newest()
    partitions = stopped.owned()
    stopped.send(signal.SIGSTOP)
    try:
        taken_s = cluster.taken_over_s(partitions, before)
    finally:
        stopped.send(signal.SIGCONT)
    until("the partitions to be shared again", cluster.shared, PATIENCE_S)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    for part in partitions:
        epochs = [decode_report(entry.payload).epoch for entry in cluster.log.read("reports", part, 0)]
        assert epochs == sorted(epochs)
    tell(f"twins process stopped: {len(partitions)} partitions taken over in {taken_s:.1f} s")


def test_every_process_is_renewed_while_the_plant_goes_on(cluster: Cluster) -> None:
    for node in list(cluster.nodes.values()):
        cluster.renew(node)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    cluster.settles_s(2)


def test_after_all_that_nothing_is_lost_and_nothing_took_effect_twice(cluster: Cluster) -> None:
    cluster.finish()
    for figure in (check_readings(cluster), check_commands(cluster), check_account(cluster, INTERVAL_US)):
        tell(figure)
    check_twins(cluster)


def check_twins(cluster: Cluster) -> None:
    """Each device shows its last reading that was acknowledged, or the one after it whose answer came too late."""
    acked, sent = dict[str, int](), dict[str, set[int]]()
    for line in cluster.lines("acked"):
        acked[line["site"]] = max(acked.get(line["site"], 0), line["time_us"])
    for line in cluster.lines("sent"):
        sent.setdefault(line["site"], set()).add(line["time_us"])
    for site, time_us in list(acked.items())[:10]:
        shown = {row["reported"] for row in cluster.got(f"/api/v1/sites/{site}")["devices"] if row["reported"]}
        assert len(shown) == 1
        assert shown <= {to_rfc3339(time) for time in sent[site] if time >= time_us}
