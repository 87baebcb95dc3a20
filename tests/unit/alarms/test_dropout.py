"""Lost contact is one alarm that names what the lost sites share; sites lost here and there are none."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.alarms import AlarmSettings, AlarmState, watch
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.registry import SiteTable
from powerflock.twins.columns import untold
from powerflock.twins.estimate import Freshness
from tests.unit.alarms.fleet import AT_ONCE, NOW_US, Watcher, ids, members, network, seen, table_at, without

SITES = 20_000
SEEDS = range(5)


def watcher_of(table: SiteTable, seed: int, ratio: float = 0.01) -> tuple[Watcher, np.random.Generator]:
    """A fleet that was watched for a moment while a small random share of it was out of contact."""
    rng, watcher = np.random.default_rng(seed), Watcher()
    assert watcher.see(without(table, rng.random(table.sites) < ratio)).raised == ()
    return watcher, rng


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_losing_a_share_of_a_region_is_one_alarm_that_names_the_region(seed: int, share: float) -> None:
    table = network(SITES, seed)
    watcher, rng = watcher_of(table, seed)
    noise, cut = rng.random(SITES) < 0.01, rng.random(SITES) < share
    lost = noise | (members(table, region="west") & cut)
    for _ in range(5):
        watcher.see(without(table, lost))
    (alarm,) = watcher.active
    assert alarm.id == "dropout:region:west"
    assert alarm.severity == "critical"
    assert alarm.sites == np.sum(lost & members(table, region="west"))
    assert alarm.of_sites == np.sum(members(table, region="west"))
    assert alarm.affected_kw == 5.0 * alarm.sites
    assert len(alarm.examples) == 10
    assert all(lost[example.row] and members(table, region="west")[example.row] for example in alarm.examples)


@pytest.mark.parametrize("seed", SEEDS)
def test_losing_a_feeder_names_the_feeder_not_its_region(seed: int) -> None:
    table = network(SITES, seed)
    watcher, rng = watcher_of(table, seed)
    lost = (rng.random(SITES) < 0.01) | members(table, region="east", feeder="f3")
    assert ids(watcher.see(without(table, lost)).raised) == ["dropout:feeder:east/f3"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "name", "share"), [("provider", "telco-b", 1.0), ("firmware", "2.0", 1.0), ("provider", "telco-c", 0.2)]
)
def test_losing_what_is_spread_over_all_regions_names_it(seed: int, kind: str, name: str, share: float) -> None:
    table = network(SITES, seed)
    watcher, rng = watcher_of(table, seed)
    lost = (rng.random(SITES) < 0.01) | (members(table, **{kind: name}) & (rng.random(SITES) < share))
    assert ids(watcher.see(without(table, lost)).raised) == [f"dropout:{kind}:{name}"]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_losing_everywhere_alike_names_the_portfolio(share: float) -> None:
    table = network(SITES, 1)
    watcher, rng = watcher_of(table, 1)
    (alarm,) = watcher.see(without(table, rng.random(SITES) < share)).raised
    assert (alarm.id, alarm.kind, alarm.name) == ("dropout:portfolio", "portfolio", "")


def test_two_causes_at_once_are_two_alarms() -> None:
    table = network(SITES, 2)
    watcher, rng = watcher_of(table, 2)
    lost = members(table, region="north") | members(table, region="south", feeder="f1") | (rng.random(SITES) < 0.01)
    assert ids(watcher.see(without(table, lost)).raised) == ["dropout:region:north", "dropout:feeder:south/f1"]


def test_three_of_four_regions_are_named_as_the_portfolio_and_not_as_a_crowd() -> None:
    table = network(SITES, 3)
    watcher, _ = watcher_of(table, 3)
    assert ids(watcher.see(without(table, ~members(table, region="west"))).raised) == ["dropout:portfolio"]


def test_a_dropout_that_comes_in_over_half_a_minute_is_one_alarm() -> None:
    """Sites whose link dies without a word grow stale as their reports fall due, each at its own time."""
    table = network(SITES, 4)
    watcher, rng = watcher_of(table, 4)
    due, noise = rng.random(SITES), rng.random(SITES) < 0.01
    raised = []
    for second in range(31):
        lost = noise | (members(table, region="west") & (due < second / 30))
        raised += ids(watcher.see(without(table, lost)).raised)
    assert raised == ["dropout:region:west"]


def test_a_wider_cause_takes_the_place_of_a_narrower_one_at_once() -> None:
    table = network(SITES, 5)
    watcher, _ = watcher_of(table, 5)
    watcher.see(without(table, members(table, region="west", feeder="f0")))
    change = watcher.see(without(table, members(table, region="west")))
    assert ids(change.raised) == ["dropout:region:west"]
    assert ids(change.cleared) == ["dropout:feeder:west/f0"]


def test_an_alarm_clears_a_minute_after_its_sites_came_back_and_does_not_flap() -> None:
    table = network(SITES, 6)
    watcher, rng = watcher_of(table, 6)
    west, draw = members(table, region="west"), rng.random(SITES)
    about_the_least_share_that_raises_it = [0.055 if second % 10 < 5 else 0.045 for second in range(600)]
    changes = [watcher.see(without(table, west & (draw < share))) for share in about_the_least_share_that_raises_it]
    changes += [watcher.see(without(table, west & False)) for _ in range(61)]
    assert [ids(change.raised) for change in changes if change.raised] == [["dropout:region:west"]]
    assert [ids(change.cleared) for change in changes if change.cleared] == [["dropout:region:west"]]
    assert changes[-1].cleared or changes[-2].cleared


def test_an_outage_stays_an_alarm_for_as_long_as_it_lasts() -> None:
    table = network(2_000, 7)
    watcher, _ = watcher_of(table, 7)
    for _ in range(100):
        watcher.see(without(table, members(table, region="west")), after_s=3_600)
    assert ids(watcher.active) == ["dropout:region:west"]


def test_sites_never_heard_of_and_long_gone_ones_are_no_dropout() -> None:
    table = network(SITES, 8)
    west = members(table, region="west")
    for age in (np.nan, 30.0 * 24 * MICROS_PER_HOUR):
        watcher = Watcher()
        columns = seen(table, freshness=np.where(west, 2, 0).astype(np.uint8), age_us=np.where(west, age, 0.0))
        assert watcher.see(columns).raised == ()


def test_the_rest_of_a_fleet_lost_is_all_of_it() -> None:
    """A region that never connected does not make the others stand out."""
    table = network(SITES, 9)
    west, silent = members(table, region="west"), np.full(SITES, Freshness.SILENT, np.uint8)
    watcher, age = Watcher(), np.where(west, np.nan, 60e6)
    watcher.see(seen(table, freshness=np.where(west, silent, 0), age_us=np.where(west, np.nan, 0.0)))
    (alarm,) = watcher.see(seen(table, freshness=silent, age_us=age)).raised
    assert (alarm.id, alarm.of_sites) == ("dropout:portfolio", SITES - west.sum())


def test_after_a_restart_sites_have_time_to_come_back_and_an_outage_is_told_again() -> None:
    table = network(SITES, 10)
    west = members(table, region="west")
    watcher = Watcher(AlarmSettings())
    silent = np.full(SITES, Freshness.SILENT, np.uint8)
    columns = seen(table, freshness=silent, age_us=np.full(SITES, 300e6))
    assert all(watcher.see(columns).raised == () for _ in range(100))
    raised = [ids(watcher.see(without(table, west)).raised) for _ in range(60)]
    assert [names for names in raised if names] == [["dropout:region:west"]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ratio", [0.002, 0.01, 0.03])
def test_independent_losses_raise_nothing(seed: int, ratio: float) -> None:
    table, watcher, rng = network(SITES, seed), Watcher(), np.random.default_rng(seed)
    for _ in range(50):
        assert watcher.see(without(table, rng.random(SITES) < ratio)).raised == ()


def test_a_quiet_day_has_no_false_alarm() -> None:
    """Sites drop out and return at random, 2% of them gone at a time, for a day of half minutes and 250 groups."""
    table, watcher, rng = network(4_000, 11, feeders=60), Watcher(), np.random.default_rng(11)
    lost = rng.random(4_000) < 0.02
    raised = 0
    for _ in range(2 * 60 * 24):
        change = rng.random(4_000)
        lost = np.where(lost, change > 0.05, change < 0.001)
        raised += len(watcher.see(without(table, lost), after_s=30.0).raised)
    assert raised == 0


def test_a_handful_of_homes_is_never_an_alarm_but_a_small_fleet_gone_is() -> None:
    table = network(40, 12)
    watcher = Watcher()
    watcher.see(seen(table))
    assert watcher.see(without(table, np.arange(40) < 4)).raised == ()
    assert ids(watcher.see(without(table, np.ones(40, np.bool_))).raised) == ["dropout:portfolio"]


def test_places_and_sites_may_come_at_any_time() -> None:
    table = network(SITES, 13)
    few, watcher = table_at(table.places[:10], table.place[table.place < 10]), Watcher()
    watcher.see(seen(few))
    order = np.concatenate((np.flatnonzero(table.place < 10), np.flatnonzero(table.place >= 10)))
    many = table_at(table.places, table.place[order])
    watcher.see(seen(many))
    assert ids(watcher.see(without(many, members(many, region="west"))).raised) == ["dropout:region:west"]


@pytest.mark.parametrize("seed", SEEDS)
def test_however_sites_are_partitioned_the_alarms_are_the_same(seed: int) -> None:
    table, rng = network(SITES, seed), np.random.default_rng(seed)
    lost = (rng.random(SITES) < 0.01) | (members(table, region="south") & (rng.random(SITES) < 0.3))
    watcher, _ = watcher_of(table, seed)
    (alone,) = watcher.see(without(table, lost)).raised
    part_of = rng.integers(0, 3, SITES)
    tables = [table_at(table.places, table.place[part_of == part]) for part in range(3)]
    state, none = AlarmState.empty(3), [untold(part.sites) for part in tables]
    watch(state, [seen(part) for part in tables], none, NOW_US, AT_ONCE)
    columns = [without(part, lost[part_of == number]) for number, part in enumerate(tables)]
    (alarm,) = watch(state, columns, none, NOW_US + 1, AT_ONCE).raised
    assert (alarm.id, alarm.sites, alarm.sentence) == (alone.id, alone.sites, alone.sentence)
    assert all(lost[part_of == example.partition][example.row] for example in alarm.examples)
