"""A process that owns nothing sees the plant as its owners do, from the topics alone."""

from __future__ import annotations

import numpy as np

from powerflock.compose.roles.followed import Followed
from powerflock.groups.hierarchy import PORTFOLIO
from powerflock.plant.seen import seen
from tests.unit.autobidder.test_halves import SPECS, Cluster
from tests.unit.plant.small import SETTINGS


def publish(cluster: Cluster) -> None:
    for part, runner in enumerate(cluster.twins):
        if runner is not None:
            cluster.log.append("views", part, seen(runner.member, cluster.now_us))


def followed(minutes: int) -> tuple[Cluster, Followed]:
    cluster = Cluster()
    cluster.run(minutes)
    publish(cluster)
    plant = Followed(cluster.log, 2, SETTINGS)
    plant.follow()
    return cluster, plant


def test_groups_account_and_prices_are_the_owners() -> None:
    cluster, plant = followed(27)
    turn, decided = plant.turn(), cluster.decided[-1]
    assert turn is not None
    assert cluster.portfolio is not None
    owner = cluster.portfolio.coordinator
    for name, group in plant.hierarchy.id_of.items():
        assert turn.groups.power_kw[group] == decided.groups.power_kw[owner.union.id_of[name]]
        assert turn.firm.up_kw[group] == decided.firm.up_kw[owner.union.id_of[name]]
    assert turn.groups.sites[PORTFOLIO] == len(SPECS)
    assert plant.account == owner.account
    assert turn.award == owner.award
    assert decided.clearing is not None
    assert turn.clearing is not None
    assert turn.clearing.price_per_kwh == decided.clearing.price_per_kwh
    assert len(plant.rows) == 27
    starts = [event.interval for event in plant.awards]
    assert starts == sorted(set(starts)), "each interval once, though the log has it twice"
    assert [item.interval_us for item in plant.settled] == [start for start, *_ in cluster.settled()]


def test_sites_are_listed_with_their_numbers() -> None:
    cluster, plant = followed(20)
    turn = plant.turn()
    assert turn is not None
    for part, runner in enumerate(cluster.twins):
        assert runner is not None
        np.testing.assert_allclose(turn.columns[part].meter_kw, runner.member.columns.meter_kw, rtol=1e-6)
        assert (turn.commanded[part].desired_us > 0).all()


def test_a_partition_without_an_owner_is_named_and_its_sites_stay_in_the_totals() -> None:
    cluster, plant = followed(20)
    assert plant.recovering == []
    cluster.twins[1] = None
    cluster.run(SETTINGS.report_life_us // 60_000_000 + 2)
    plant.follow()
    turn = plant.turn()
    assert turn is not None
    assert plant.recovering == [1]
    assert turn.groups.known[PORTFOLIO] == len(SPECS)
    assert turn.groups.fresh[PORTFOLIO] < len(SPECS)


def test_before_anything_was_said_there_is_no_turn() -> None:
    cluster = Cluster()
    plant = Followed(cluster.log, 2, SETTINGS)
    plant.follow()
    assert plant.turn() is None
    assert plant.recovering == [0, 1]
