"""How long a question about a million sites takes: filtered, sorted, counted, one page of it, on one core.

Each question is asked of a turn that nobody has asked yet, so that every column it needs is worked out in the time
measured. Time is that of the one core, so that what else the machine does is left out. The peer is DuckDB on one thread
over a table that already has all these columns: the rows of the page and the count, two statements. Both give the same
sites, which is checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.fleets import NOW_US, fleet
from benchmarks.rows import Row, less_is_better, median_s
from powerflock.api.queries import SitesQuery
from powerflock.compose.directory import Listed
from powerflock.compose.site_list import SiteList
from powerflock.groups.hierarchy import Hierarchy
from powerflock.plant.site_numbers import SiteNumbers
from powerflock.twins.columns import Link, Shard
from powerflock.twins.commanded import commanded
from powerflock.twins.estimate import EstimateSettings, observe
from powerflock.twins.query import SiteIds

NAME = "queries"
SUMMARY = "Questions about 1,000,000 sites: filters, orders, pages and counts, on one core against 50 ms and DuckDB"

SITES = 1_000_000
LIMIT_MS = 50.0
SETTINGS = EstimateSettings()
FEEDER, TRIAL = "R0/S0/F0", "set:trial"


@dataclass(frozen=True, slots=True)
class Question:
    """The same in our words and in SQL."""

    name: str
    query: SitesQuery
    where: str
    order: str


def run(*, quick: bool) -> list[Row]:
    """Rows: each kind of question, its first page of 50 sites and the count of all, ms."""
    runs = 3 if quick else 9
    shard = busy(fleet(SITES))
    hierarchy, columns = Hierarchy.of([shard.table]), observe(shard, NOW_US, SETTINGS)
    told = commanded(shard, NOW_US, SETTINGS.report_period_us)
    names = [f"home-{number:07d}" for number in np.random.default_rng(7).permutation(SITES).tolist()]
    ids = SiteIds.of(names)
    listed = Listed.of(shard.table, ids)

    def untouched() -> SiteList:
        return SiteList(hierarchy, NOW_US, [columns], [told], [listed])

    database = peer(hierarchy, SiteNumbers(NOW_US, columns, told, listed.has_solar), listed)
    rows = [_asked(question, untouched, database, runs) for question in questions(untouched())]
    turn_s = median_s(lambda: commanded(shard, NOW_US, SETTINGS.report_period_us), runs, clock=time.process_time)
    build_s = median_s(lambda: Listed.of(shard.table, SiteIds.of(names)), 1, clock=time.process_time)
    return [
        *rows,
        Row(metric="commands, answers and links copied at each turn", value=turn_s * 1e3, unit="ms"),
        Row(metric="ids and places ordered after an enrolment, once", value=build_s, unit="s"),
    ]


def questions(sites: SiteList) -> list[Question]:
    """Of every kind one, and the page after the first half."""
    deep = SitesQuery(sort="-power_kw", max_power_kw=0.0, limit=1)
    token = sites.page(deep).next_page_token
    first = sites.page(deep).sites[0]
    return [
        Question("all, by id", SitesQuery(), "true", "site"),
        Question("all, greatest power first", SitesQuery(sort="-power_kw"), "true", "power_kw desc nulls last, site"),
        Question(
            "greatest deviations", SitesQuery(sort="-deviation_kw"), "true", "deviation_kw desc nulls last, site"
        ),
        Question(
            "desired not applied, by its size", SitesQuery(sort="-unapplied_kw", min_unapplied_kw=0.5),
            "unapplied_kw >= 0.5", "unapplied_kw desc nulls last, site",
        ),
        Question("silent, oldest first", SitesQuery(freshness="silent", sort="-age_s"), "freshness = 2",
                 "age_s desc nulls last, site"),
        Question("age above 60 s, link down, by id", SitesQuery(min_age_s=60.0, link="down"),
                 "age_s >= 60 and link = 2", "site"),
        Question("unconfirmed commands, by id", SitesQuery(command="unconfirmed"), "command = 2", "site"),
        Question("power above 1 kW and charge below 40 %, emptiest first",
                 SitesQuery(min_power_kw=1.0, max_soc_ratio=0.4, sort="soc_ratio"),
                 "power_kw >= 1 and soc_ratio <= 0.4", "soc_ratio nulls last, site"),
        Question("one feeder, by headroom", SitesQuery(group=FEEDER, sort="-up_kw"), "in_feeder",
                 "up_kw desc nulls last, site"),
        Question("one set, by id", SitesQuery(group=TRIAL), "in_trial", "site"),
        Question("part of an id", SitesQuery(search="0042"), "contains(site, '0042')", "site"),
        Question("the page in the middle of all, by power", SitesQuery(sort="-power_kw", page_token=token),
                 f"(power_kw < {first.power_kw!r} or power_kw is null)", "power_kw desc nulls last, site"),
    ]  # fmt: skip


def busy(shard: Shard) -> Shard:
    """The fleet on an evening: most sites commanded, some of them not as they should be."""
    rng, sites = np.random.default_rng(11), shard.sites
    count = sites.size
    chance = rng.uniform(size=count)
    commanded_ones = chance < 0.8
    sites["desired_seq"] = np.where(commanded_ones, 2, -1)
    sites["previous_seq"] = np.where(commanded_ones, 1, -1)
    sites["desired_kw"], sites["previous_kw"] = rng.normal(0.0, 2.0, (2, count))
    sites["desired_us"] = NOW_US - 60_000_000
    sites["expires_us"] = NOW_US + 540_000_000
    sites["answered_seq"] = np.where(chance < 0.7, 2, np.where(commanded_ones, 1, -1))
    sites["answered_us"] = NOW_US - 59_000_000
    sites["answer"] = np.where(chance < 0.03, 2, 1)
    sites["link"] = np.where(rng.uniform(size=count) < 0.01, Link.DOWN, Link.UP)
    late = rng.uniform(size=count)
    age_us = np.where(late < 0.01, 3_600_000_000, np.where(late < 0.03, 120_000_000, 2_000_000))
    shard.devices["time_us"] = NOW_US - age_us[shard.table.device_site]
    return shard


def peer(hierarchy: Hierarchy, numbers: SiteNumbers, listed: Listed) -> duckdb.DuckDBPyConnection:
    """A DuckDB of one thread that has every column in a table of its own."""
    columns = {name: pa.array(numbers[name], from_pandas=True) for name in numbers}
    columns |= {"freshness": pa.array(numbers.columns.freshness), "link": pa.array(numbers.commanded.link)}
    columns |= {"command": pa.array(numbers.commanded.state), "site": listed.ids.text}
    for name, group in (("in_feeder", FEEDER), ("in_trial", TRIAL)):
        columns[name] = pa.array(hierarchy.members(hierarchy.id_of[group], 0))
    database = duckdb.connect(config={"threads": 1})
    database.register("given", pa.table(columns))
    database.execute("create table sites as select * from given")
    return database


def _asked(
    question: Question, untouched: Callable[[], SiteList], database: duckdb.DuckDBPyConnection, runs: int
) -> Row:  # fmt: skip
    """One question put to both; they must agree."""
    of, order = f"from sites where {question.where}", f"order by {question.order} limit {question.query.limit}"
    rows_sql, count_sql = f"select site, * exclude (site) {of} {order}", f"select count(*) {of}"

    def by_duckdb() -> tuple[list[str], int]:
        sites = [str(row[0]) for row in database.execute(rows_sql).fetchall()]
        return sites, int(database.execute(count_sql).fetchall()[0][0])

    ours, (theirs, total) = untouched().page(question.query), by_duckdb()
    assert [row.site for row in ours.sites] == theirs, question.name
    assert ours.sites
    assert ours.total == total or question.query.page_token is not None, question.name
    ours_s = median_s(lambda: untouched().page(question.query), runs, clock=time.process_time)
    theirs_s = median_s(by_duckdb, runs, clock=time.process_time)
    metric = f"{question.name}: first page and count, {SITES:,} sites (limit {LIMIT_MS:g} ms)"
    return less_is_better(metric, ours_s * 1e3, "ms", "DuckDB, 1 thread, columns ready", theirs_s * 1e3)
