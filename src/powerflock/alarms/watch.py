"""One look at the whole fleet: marks by site, counts by place, causes by rule, and the book of alarms after it.

Read `watch` from top to bottom. Deterministic: the same tables, columns and times give the same alarms. Contact is
checked for every site at every call; all else for a slice of the sites, so that each has its turn every `look_us` and
no call is dearer than another. State is columns, changed in place; the book in it is a value. Must not know where
readings come from, nor who is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from powerflock.alarms.causes import PORTFOLIO, Causes
from powerflock.alarms.marks import examples, look, mark_missed, tally
from powerflock.alarms.memory import ABSENT, Memory, Rule
from powerflock.alarms.model import Alarm, AlarmBook, Change, Example, update
from powerflock.alarms.scan import Cluster, Scan, scan
from powerflock.alarms.sentences import alarm_id, alarm_of
from powerflock.alarms.settings import AlarmSettings
from powerflock.domain.arrays import F64, I32, Bools, Records
from powerflock.domain.clock import MICROS_PER_DAY
from powerflock.domain.registry import SiteTable
from powerflock.twins.estimate import SiteColumns

_NEVER = -1


@dataclass(slots=True, eq=False)
class AlarmState:
    """What is remembered between calls: columns by partition, the causes known, and the `book`.

    `population` (2, P) counts all sites and those with a battery by place; `frozen` (P,) places have a dropout alarm;
    `looked_us` is how far into `look_us` the current round of looks has come.
    """

    memories: list[Memory]
    tables: tuple[SiteTable, ...]
    causes: Causes
    population: F64
    frozen: Bools
    book: AlarmBook
    started_us: int = _NEVER
    last_us: int = _NEVER
    looked_us: int = 0

    @staticmethod
    def empty(partitions: int, book: AlarmBook | None = None) -> AlarmState:
        """Nothing seen yet; `book` is that of an earlier process, if it was kept."""
        memories = [Memory.empty() for _ in range(partitions)]
        return AlarmState(
            memories, (), Causes.none(partitions), np.zeros((2, 0)), np.zeros(0, np.bool_), book or AlarmBook()
        )  # fmt: skip


def watch(
    state: AlarmState, columns: Sequence[SiteColumns], sites: Sequence[Records], now_us: int, settings: AlarmSettings
) -> Change:
    """Take in what every partition's sites do (`observe`'s columns, the shards' (S,) `SITE` records) at `now_us`.

    Returns what was raised and cleared; `state.book` is the book after it.
    """
    if state.started_us == _NEVER:
        state.started_us = state.last_us = now_us
    elapsed_us = max(now_us - state.last_us, 0)
    _grow(state, columns, settings)
    if now_us // MICROS_PER_DAY != state.last_us // MICROS_PER_DAY:
        for memory in state.memories:
            memory.begin_day()
    _mark(state, columns, sites, now_us, elapsed_us, settings)
    counts, affected_kw = _count(state, columns)
    found, absorbed = _find(state, counts, affected_kw, now_us, settings)
    change = update(state.book, found, now_us, settings.clear_us, settings.keep_us, absorbed)
    state.book, state.last_us = change.book, now_us
    return change


def _grow(state: AlarmState, columns: Sequence[SiteColumns], settings: AlarmSettings) -> None:
    """New sites and places after an enrolment."""
    tables = tuple(own.table for own in columns)
    if len(tables) == len(state.tables) and all(a is b for a, b in zip(tables, state.tables, strict=True)):
        return
    for memory, own in zip(state.memories, columns, strict=True):
        memory.grow(own.age_us, settings.usual_us)
    causes = state.causes.grow(tables)
    if causes is not state.causes:
        state.frozen = np.zeros(causes.places, np.bool_)
    state.tables, state.causes = tables, causes
    everyone = [np.bincount(table.place, minlength=len(table.places)) for table in tables]
    stores = [np.bincount(table.place, table.capacity_kwh > 0.0, minlength=len(table.places)) for table in tables]
    state.population = np.array([np.concatenate(everyone), np.concatenate(stores)], np.float64)


def _mark(
    state: AlarmState, columns: Sequence[SiteColumns], sites: Sequence[Records], now_us: int, elapsed_us: int,
    settings: AlarmSettings,
) -> None:  # fmt: skip
    """Contact of all sites; everything else of the next slice of each partition's."""
    tell = _tells(state, now_us, settings)
    begin_us, end_us = state.looked_us, min(state.looked_us + elapsed_us, settings.look_us)
    since_us = max(elapsed_us, settings.look_us)
    for part, (memory, own, twins) in enumerate(zip(state.memories, columns, sites, strict=True)):
        frozen = state.frozen[state.causes.first_place[part] :]
        mark_missed(memory, own.freshness, own.table.place, frozen, elapsed_us, settings, tell=tell)
        count = memory.marks.size
        first, end = (count * at_us // settings.look_us for at_us in (begin_us, end_us))
        look(memory, own, twins, first, end, now_us, since_us, settings)
    state.looked_us = end_us % settings.look_us


def _tells(state: AlarmState, now_us: int, settings: AlarmSettings) -> bool:
    """Whether contact is judged yet; until then what an earlier process told is taken to go on."""
    return now_us - state.started_us >= settings.settle_us


def _count(state: AlarmState, columns: Sequence[SiteColumns]) -> tuple[F64, F64]:
    """Marked sites and their batteries' power, (rules + 1, P) each; the last row is of those `ABSENT`."""
    counts, affected_kw = np.zeros((2, len(Rule) + 1, state.causes.places))
    for memory, own, first in zip(state.memories, columns, state.causes.first_place[:-1].tolist(), strict=True):
        table = own.table
        tally(memory.marks, table.place, first, table.discharge_limit_kw, counts, affected_kw)
    return counts, affected_kw


def _find(
    state: AlarmState, counts: F64, affected_kw: F64, now_us: int, settings: AlarmSettings
) -> tuple[list[Alarm], set[str]]:
    """What is true now, as alarms; and the ids of active alarms whose sites another alarm of the rule explains."""
    found: list[Alarm] = []
    absorbed: set[str] = set()
    active = state.book.active
    state.frozen[:] = False
    if not _tells(state, now_us, settings):
        found += [msgspec.structs.replace(alarm, seen_us=now_us) for alarm in active]
    for rule in Rule:
        population = state.population[0] - counts[ABSENT] if rule is Rule.DROPOUT else state.population[1]
        held = _held(state.causes, rule, active)
        result = scan(state.causes, counts[rule], population, held, settings.scan)
        if rule is Rule.DROPOUT:
            for cluster in result.clusters:
                state.frozen |= cluster.places
        own = [_alarm(state, rule, cluster, affected_kw[rule], now_us, settings) for cluster in result.clusters]
        scattered = _scattered(rule, result)
        if scattered is not None:
            own.append(_alarm(state, rule, scattered, affected_kw[rule], now_us, settings, scattered=True))
        found += own
        absorbed |= _absorbed(state.causes, rule, held, population, result) - {alarm.id for alarm in own}
    return found, absorbed


def _held(causes: Causes, rule: Rule, active: Sequence[Alarm]) -> Bools:
    """(N,) causes that have an active alarm of the rule; one that no site has any more holds nothing."""
    held: Bools = np.zeros(len(causes.keys), np.bool_)
    ids = [causes.id_of.get((alarm.kind, alarm.name)) for alarm in active if alarm.rule == rule.wire]
    held[[cause for cause in ids if cause is not None]] = True
    return held


def _scattered(rule: Rule, result: Scan) -> Cluster | None:
    """Marked sites that no cause explains, as one; lost contact here and there is nothing to tell."""
    marked = int(result.marked.sum())
    if rule is Rule.DROPOUT or not marked:
        return None
    return Cluster(PORTFOLIO, marked, int(result.population.sum()), np.nan, result.population > 0.0)


def _absorbed(causes: Causes, rule: Rule, held: Bools, population: F64, result: Scan) -> set[str]:
    """The ids of held causes all of whose sites were taken out by clusters, and that none of these names."""
    if not held.any() or not result.clusters:
        return set()
    left, sites = causes.sums(result.population), causes.sums(population)
    gone = held & (left == 0.0) & (sites > 0.0)
    return {alarm_id(rule, causes.keys[cause]) for cause in np.flatnonzero(gone).tolist()}


def _alarm(
    state: AlarmState, rule: Rule, cluster: Cluster, affected_kw: F64, now_us: int, settings: AlarmSettings, *,
    scattered: bool = False,
) -> Alarm:  # fmt: skip
    """The cluster as an alarm; with examples where the book does not have it yet, as finding them costs a search."""
    alarm = alarm_of(
        rule, state.causes.keys[cluster.cause], cluster, float(affected_kw[cluster.places].sum()), now_us,
        scattered=scattered,
    )  # fmt: skip
    known = state.book.by_id.get(alarm.id)
    if known is not None and known.state == "active":
        return alarm
    shown: list[Example] = []
    for part, memory in enumerate(state.memories):
        rows: I32 = np.empty(settings.examples - len(shown), np.int32)
        place, first = state.tables[part].place, int(state.causes.first_place[part])
        count = examples(memory.marks, place, first, int(rule), cluster.places, rows)
        shown += [Example(part, row) for row in rows[:count].tolist()]
    return msgspec.structs.replace(alarm, examples=tuple(shown))
