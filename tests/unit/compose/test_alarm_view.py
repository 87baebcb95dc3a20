"""Alarms for people and for Prometheus: sites by their ids, times as text, and no cause as a label."""

from __future__ import annotations

from powerflock.alarms import AlarmBook, Example, Rule
from powerflock.alarms.model import Alarm
from powerflock.compose.alarm_view import alarm_counts, alarm_metrics, alarm_rows
from powerflock.compose.rows import group_rows
from powerflock.domain.registry import Registry
from tests.unit.plant.small import START_US, Meters, enrolled, homes


def alarm(name: str, **changes: object) -> Alarm:
    common = {"rule": "dropout", "severity": "critical", "kind": "region", "since_us": 0, "seen_us": 60_000_000}
    numbers = {
        "sites": 3,
        "of_sites": 4,
        "affected_kw": 15.0,
        "examples": (Example(0, 1),),
        "sentence": "Contact lost.",
    }
    return Alarm(**(common | numbers | {"id": f"dropout:region:{name}", "name": name} | changes))  # type: ignore[arg-type]


def book_of(*alarms: Alarm) -> AlarmBook:
    return AlarmBook({each.id: each for each in alarms})


def test_examples_are_site_ids_and_times_are_text() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, homes(3))
    (row,) = alarm_rows(book_of(alarm("west", acknowledged_us=90_000_000, acknowledged_by="Ana")), registry)
    assert row.examples == ["h1"]
    assert (row.since, row.seen, row.cleared) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:01:00.000Z", None)
    assert (row.acknowledged, row.acknowledged_by) == ("1970-01-01T00:01:30.000Z", "Ana")


def test_counts_are_of_what_is_true_and_of_what_nobody_has_seen() -> None:
    book = book_of(
        alarm("west"), alarm("east", severity="warning", acknowledged_us=1, acknowledged_by="Ana"),
        alarm("north", state="cleared", cleared_us=1),
    )  # fmt: skip
    counts = alarm_counts(book)
    assert (counts.critical, counts.warning, counts.notice, counts.unacknowledged) == (1, 1, 0, 2)


def test_metrics_have_every_rule_and_name_no_cause() -> None:
    text = alarm_metrics(book_of(alarm("west"), alarm("east"), alarm("north", state="cleared")))
    assert 'powerflock_alarms{rule="dropout",severity="critical"} 2\n' in text
    assert 'powerflock_alarms{rule="fade",severity="notice"} 0\n' in text
    assert text.count("powerflock_alarms{") == 3 * len(Rule)
    assert "west" not in text


def test_groups_come_with_what_is_firm_and_with_what_costs_most() -> None:
    specs = homes(4)
    ring, meters = enrolled(specs), Meters(specs)
    ring.ingest(0, meters.read(START_US), START_US)
    turn = ring.turn(START_US)
    rows = group_rows(ring.hierarchy, turn.groups, turn.firm)
    assert [(row.group, row.parent, row.level, row.depth) for row in rows] == [
        ("portfolio", None, "portfolio", 0),
        ("VIC1", "portfolio", "region", 1),
        ("VIC1/f0", "VIC1", "feeder", 2),
        ("VIC1/f1", "VIC1", "feeder", 2),
    ]
    whole = rows[0]
    assert (whole.unreachable, whole.coverage_kw_ratio, whole.worst_failure) == (0, 1.0, None)
    assert whole.firm_up_kw == whole.up_kw == 20.0, "a single region is not a failure that anything is spread over"
    assert whole.raise_kw is not None
    assert whole.raise_kw >= 20.0
