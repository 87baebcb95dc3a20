"""The list of sites says the same as somebody who looks at each site by itself, whatever is asked of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.api.models import COMMAND_NAMES, FRESHNESS_NAMES, LINK_NAMES, SITE_COLUMNS, SiteRow
from powerflock.api.paging import LastRow, page_token
from powerflock.api.queries import SitesQuery
from powerflock.compose.directory import Directory
from powerflock.compose.site_list import SiteList
from powerflock.domain.columns import COMMAND, SITE_EVENT, TELEMETRY, SiteEventKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import partition_of
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec
from powerflock.groups.hierarchy import Hierarchy
from powerflock.plant.site_numbers import SiteNumbers
from powerflock.twins.apply import desire, note, step
from powerflock.twins.columns import Shard
from powerflock.twins.commanded import commanded
from powerflock.twins.estimate import EstimateSettings, observe
from tests.fake_view import place_of
from tests.unit.plant.small import BATTERY, TARIFF

NOW_US = 1_770_000_000_000_000
S = 1_000_000
PARTITIONS, SITES = 3, 60
SETTINGS = EstimateSettings()
GROUPS = ("portfolio", "R0", "R1/F1", "set:trial")


def spec(number: int) -> SiteSpec:
    battery = BATTERY if number % 4 else None
    sets = ("trial",) if number % 5 == 0 else ()
    return SiteSpec(f"Home-{number}", f"F{number % 3}", f"R{number % 2}", TARIFF, battery, float(number % 3), sets=sets)


class World:
    """Sites of every kind: heard of lately, long ago or never, told and answered in every way."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.registry = Registry.empty(PARTITIONS)
        specs = [spec(number) for number in range(SITES)]
        for part in range(PARTITIONS):
            own = [each for each in specs if partition_of(each.site, PARTITIONS) == part]
            assert not self.registry.enrol(part, own).outcome.reasons
        tables = [self.registry.table(part) for part in range(PARTITIONS)]
        self.shards = [Shard.of(table) for table in tables]
        for shard in self.shards:
            _live(shard, rng)
        self.hierarchy = Hierarchy.of(tables)
        self.columns = [observe(shard, NOW_US, SETTINGS) for shard in self.shards]
        self.told = [commanded(shard, NOW_US, SETTINGS.report_period_us) for shard in self.shards]
        directory = Directory(self.registry)
        listed = [directory.of(part, table) for part, table in enumerate(tables)]
        self.list = SiteList(self.hierarchy, NOW_US, self.columns, self.told, listed)
        self.rows = {row.site: row for part in range(PARTITIONS) for row in self._rows(part)}

    def _rows(self, part: int) -> list[SiteRow]:
        return self.list.rows(part, np.arange(self.shards[part].table.sites))


def _live(shard: Shard, rng: np.random.Generator) -> None:
    table = shard.table
    ages_us = rng.choice([2 * S, 100 * S, 4000 * S], table.sites)[table.device_site]
    readings = np.zeros(table.devices, TELEMETRY)
    readings["device"], readings["seq"] = np.arange(table.devices), 1
    readings["time_us"] = readings["received_us"] = NOW_US - ages_us
    readings["power_kw"] = -np.round(rng.uniform(0.0, 2.0, table.devices), 1)
    readings["energy_kwh"] = rng.uniform(1.0, 10.0, table.devices)
    for name in ("charge_limit_kw", "discharge_limit_kw", "capacity_kwh"):
        readings[name] = np.nan
    step(shard, readings[rng.uniform(size=table.devices) < 0.9], NOW_US)
    for seq in (1, 2):
        rows = np.flatnonzero(rng.uniform(size=table.sites) < 0.7)
        commands = np.zeros(rows.size, COMMAND)
        commands["site"], commands["seq"] = rows, seq
        commands["setpoint_kw"] = np.round(rng.uniform(-2.0, 2.0, rows.size), 1)
        commands["not_before_us"] = NOW_US - 50 * S
        commands["expires_us"] = NOW_US + rng.choice([-S, 60 * S], rows.size, p=[0.2, 0.8])
        desire(shard, commands)
    kinds = rng.choice([int(SiteEventKind.APPLIED)] * 4 + [int(SiteEventKind.REFUSED)], table.sites)
    answers = [(row, int(kind), 0, int(rng.integers(1, 3)), NOW_US - 40 * S) for row, kind in enumerate(kinds)]
    links = [(row, int(rng.choice([SiteEventKind.LINK_UP])), 0, 5, NOW_US - 90 * S) for row in range(0, table.sites, 2)]
    lost = [(row, int(SiteEventKind.LINK_DOWN), 0, 5, NOW_US - 30 * S) for row in range(0, table.sites, 6)]
    note(shard, np.array([*answers[::2], *links, *lost], SITE_EVENT))


WORLD = World()
NUMBERS = st.sampled_from(SITE_COLUMNS)
BOUNDS = st.dictionaries(
    st.builds(lambda end, name: f"{end}_{name}", st.sampled_from(["min", "max"]), NUMBERS),
    st.floats(-3.0, 3.0).map(lambda value: round(value, 1)),
    max_size=2,
)
SORTS = st.builds(lambda sign, name: sign + name, st.sampled_from(["", "-"]), st.one_of(st.just("site"), NUMBERS))


def chosen(*values: object) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), st.sampled_from(values))


QUERIES = st.builds(
    lambda sort, limit, states, bounds: SitesQuery.model_validate({"sort": sort, "limit": limit, **states, **bounds}),
    SORTS,
    st.integers(1, 25),
    st.fixed_dictionaries(
        {
            "freshness": chosen(*FRESHNESS_NAMES),
            "link": chosen(*LINK_NAMES),
            "reachable": chosen(True, False),
            "command": chosen(*COMMAND_NAMES),
            "group": chosen(*GROUPS),
            "search": chosen("home-1", "5", "f2 R", "R1"),
        }
    ),
    BOUNDS,
)


def in_group(site: SiteSpec, group: str) -> bool:
    names = {"portfolio", site.region, f"{site.region}/{site.feeder}", *(f"set:{name}" for name in site.sets)}
    return group in names


def naive(query: SitesQuery) -> list[str]:
    """Site by site, from the rows and the specs."""
    found = []
    for row in WORLD.rows.values():
        site = WORLD.registry.spec(row.site)
        states = all(getattr(query, name) in (None, getattr(row, name)) for name in ("freshness", "link", "command"))
        here = query.group is None or in_group(site, query.group)
        text = f"{site.site}\n{site.feeder} {site.region}".lower()
        within = all(
            getattr(row, name) is not None and low <= getattr(row, name) <= high for name, low, high in query.bounds()
        )
        if (
            states
            and query.reachable in (None, row.reachable)
            and here
            and within
            and (query.search or "").lower() in text
        ):
            found.append(row)
    found.sort(key=lambda row: row.site, reverse=query.sort == "-site")
    column, backwards = query.sort.removeprefix("-"), query.sort.startswith("-")
    if column != "site":
        nan = math.nan
        found.sort(
            key=lambda row: place_of(nan if getattr(row, column) is None else getattr(row, column), backwards=backwards)
        )
    return [row.site for row in found]


@given(QUERIES)
@settings(max_examples=300, deadline=None)
def test_all_pages_together_are_what_a_look_at_each_site_finds(query: SitesQuery) -> None:
    expected, met, token = naive(query), list[str](), None
    for _ in range(SITES + 1):
        page = WORLD.list.page(query.model_copy(update={"page_token": token}))
        assert page.total == len(expected)
        assert all(row == WORLD.rows[row.site] for row in page.sites)
        met += [row.site for row in page.sites]
        token = page.next_page_token
        if token is None:
            break
    assert met == expected


def test_every_state_is_met_in_this_world() -> None:
    rows = WORLD.rows.values()
    assert {row.freshness for row in rows} == set(FRESHNESS_NAMES)
    assert {row.link for row in rows} == set(LINK_NAMES)
    assert {row.command for row in rows} >= {"none", "unconfirmed", "applied", "refused", "expired"}
    for name in SITE_COLUMNS:
        assert 0 < sum(getattr(row, name) is None for row in rows) < SITES, name


def test_differences_are_of_what_the_meter_says_the_edge_confirmed_and_the_plant_wants() -> None:
    judged = 0
    for part, shard in enumerate(WORLD.shards):
        for row, numbers in enumerate(WORLD.list.rows(part, np.arange(shard.table.sites))):
            told, site = WORLD.told[part], shard.sites[row]
            held = {int(site["desired_seq"]): site["desired_kw"], int(site["previous_seq"]): site["previous_kw"]}
            held_kw = held.get(int(site["answered_seq"])) if site["answer"] == 1 and site["answered_seq"] > 0 else None
            in_force = site["expires_us"] > NOW_US
            assert numbers.applied_kw == (float(held_kw) if held_kw is not None and in_force else None)
            assert numbers.desired_kw == (float(site["desired_kw"]) if in_force else None)
            if numbers.applied_kw is not None and numbers.desired_kw is not None:
                assert numbers.unapplied_kw == abs(numbers.desired_kw - numbers.applied_kw)
            since = told.metered_us[row] >= site["answered_us"] and numbers.freshness != "silent"
            if numbers.applied_kw is None or numbers.power_kw is None or not since:
                assert numbers.deviation_kw is None
            else:
                assert numbers.deviation_kw == abs(numbers.power_kw - numbers.applied_kw)
                judged += 1
    assert judged > 3


def test_a_site_has_no_number_for_what_it_does_not_have() -> None:
    for row in WORLD.rows.values():
        site = WORLD.registry.spec(row.site)
        assert site.battery is not None or row.battery_kw is None
        assert site.solar_kw > 0.0 or row.solar_kw is None


def test_a_group_that_is_not_there_and_a_token_of_another_order_are_refused() -> None:
    with pytest.raises(InvalidInput, match="group is 'R9'; is no group of this plant"):
        WORLD.list.page(SitesQuery(group="R9"))
    with pytest.raises(InvalidInput, match="page_token"):
        WORLD.list.page(SitesQuery(sort="power_kw", page_token=page_token("site", LastRow(0.0, "Home-1"))))


def test_ids_are_put_in_order_again_only_when_sites_were_added() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [spec(1)])
    directory = Directory(registry)
    first = directory.of(0, registry.table(0))
    assert directory.of(0, registry.table(0)) is first
    registry.enrol(0, [SiteSpec("Home-1", "F9", "R1", TARIFF, BATTERY, 1.0)])
    moved = directory.of(0, registry.table(0))
    assert moved.ids is first.ids
    assert (moved.containing("f9").tolist(), first.containing("f9").tolist()) == ([True], [False])
    registry.enrol(0, [spec(0)])
    assert directory.of(0, registry.table(0)).ids.text.to_pylist() == ["Home-1", "Home-0"]


def test_the_numbers_are_those_of_a_row() -> None:
    numbers = SiteNumbers(NOW_US, WORLD.columns[0], WORLD.told[0], np.zeros(WORLD.shards[0].table.sites, np.bool_))
    assert tuple(numbers) == SITE_COLUMNS
    assert len(numbers) == len(SITE_COLUMNS)
