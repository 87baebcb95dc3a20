"""An alarm as an operator meets it, and the book of all alarms: raised, still true, cleared, acknowledged.

States as in the field's own standard (ISA-18.2 / IEC 62682): an alarm that cleared stays in the book until somebody
acknowledged it. Invariants: one alarm per id; the same findings at the same times give the same book. Books are values:
`update` and `acknowledge` return new ones. Must not know columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from powerflock.domain.errors import InvalidInput, NotFound

Severity: TypeAlias = Literal["critical", "warning", "notice"]
State: TypeAlias = Literal["active", "cleared"]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one affected site's columns are."""

    partition: int
    row: int


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cause that is wrong now or was: `sites` of its `of_sites` are affected, with `affected_kw` ≥ 0.

    `id` is the same whenever the same cause is named, e.g. `dropout:region:west`. `kind` and `name` say what the sites
    have in common; the portfolio has no name. `affected_kw` is the nameplate discharge power of their batteries.
    `since_us` is when it was raised, `seen_us` when it was last true. `sentence` says it in an operator's words.
    """

    id: str
    rule: str
    severity: Severity
    kind: str
    name: str
    since_us: int
    seen_us: int
    sites: int
    of_sites: int
    affected_kw: float
    examples: tuple[Example, ...]
    sentence: str
    state: State = "active"
    cleared_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""


@dataclass(frozen=True, slots=True)
class AlarmBook:
    """All alarms by id, in the order in which they were first raised."""

    by_id: Mapping[str, Alarm] = field(default_factory=dict)

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Those that are true, or were until a moment ago."""
        return tuple(alarm for alarm in self.by_id.values() if alarm.state == "active")

    def in_order(self) -> list[Alarm]:
        """Every alarm as an operator reads them: active ones first, the gravest and newest first among them."""
        order = {"critical": 0, "warning": 1, "notice": 2}
        return sorted(
            self.by_id.values(), key=lambda alarm: (alarm.state != "active", order[alarm.severity], -alarm.since_us)
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did: alarms that were `raised` and `cleared` by it."""

    book: AlarmBook
    raised: tuple[Alarm, ...]
    cleared: tuple[Alarm, ...]


def update(
    book: AlarmBook, findings: Iterable[Alarm], now_us: int, clear_us: int, keep_us: int, absorbed: Collection[str] = ()
) -> Change:
    """The book after `findings`, what is true now, each id once.

    An active alarm that is not among them clears once it has not been true for `clear_us`, so that one that comes and
    goes does not flap; at once where its id is in `absorbed`, because a wider cause now explains it. A cleared alarm
    leaves the book when it is acknowledged, or `keep_us` after it cleared.
    """
    found = {finding.id: finding for finding in findings}
    by_id: dict[str, Alarm] = {}
    raised: list[Alarm] = []
    cleared: list[Alarm] = []
    for alarm in book.by_id.values():
        finding = found.get(alarm.id)
        if alarm.state == "cleared":
            gone = alarm.acknowledged_us is not None or now_us - (alarm.cleared_us or 0) >= keep_us
            if finding is None and not gone:
                by_id[alarm.id] = alarm
        elif finding is not None:
            by_id[alarm.id] = msgspec.structs.replace(
                finding,
                since_us=alarm.since_us,
                examples=alarm.examples,
                acknowledged_us=alarm.acknowledged_us,
                acknowledged_by=alarm.acknowledged_by,
            )
        elif now_us - alarm.seen_us >= clear_us or alarm.id in absorbed:
            over = msgspec.structs.replace(alarm, state="cleared", cleared_us=now_us)
            cleared.append(over)
            if over.acknowledged_us is None:
                by_id[alarm.id] = over
        else:
            by_id[alarm.id] = alarm
    for finding in found.values():
        if finding.id not in by_id:
            by_id[finding.id] = finding
            raised.append(finding)
    return Change(AlarmBook(by_id), tuple(raised), tuple(cleared))


def acknowledge(book: AlarmBook, alarm_id: str, who: str, now_us: int) -> AlarmBook:
    """The book after `who` has seen the alarm: a cleared one leaves it. Raises `NotFound` for an id not in the book."""
    alarm = book.by_id.get(alarm_id)
    if alarm is None:
        msg = f"alarm {alarm_id!r} is not in the book"
        raise NotFound(msg)
    if not who:
        raise InvalidInput("who acknowledges", who, "must not be empty", "Give the operator's name.")
    rest = {key: kept for key, kept in book.by_id.items() if key != alarm_id or alarm.state == "active"}
    if alarm.state == "active" and alarm.acknowledged_us is None:
        rest[alarm_id] = msgspec.structs.replace(alarm, acknowledged_us=now_us, acknowledged_by=who)
    return AlarmBook(rest)
