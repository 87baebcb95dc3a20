"""The plant's alarms as the API and Prometheus show them: sites by id, times as text, and counts without names."""

from __future__ import annotations

from collections import Counter

from powerflock.alarms import Alarm, AlarmBook, Example, Rule, Severity
from powerflock.api.alarm_models import AlarmCounts, AlarmRow
from powerflock.domain.clock import to_rfc3339
from powerflock.domain.registry import Registry

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "notice")


def alarm_rows(book: AlarmBook, registry: Registry) -> list[AlarmRow]:
    """The whole book, in the order in which an operator reads it."""
    return [alarm_row(alarm, registry) for alarm in book.in_order()]


def alarm_row(alarm: Alarm, registry: Registry) -> AlarmRow:
    """One alarm."""
    return AlarmRow(
        alarm.id,
        alarm.rule,
        alarm.severity,
        alarm.kind,
        alarm.name,
        alarm.state,
        to_rfc3339(alarm.since_us),
        to_rfc3339(alarm.seen_us),
        _time(alarm.cleared_us),
        _time(alarm.acknowledged_us),
        alarm.acknowledged_by or None,
        alarm.sites,
        alarm.of_sites,
        alarm.affected_kw,
        [_site(example, registry) for example in alarm.examples],
        alarm.sentence,
    )


def alarm_counts(book: AlarmBook) -> AlarmCounts:
    """How many there are of each kind."""
    active = Counter(alarm.severity for alarm in book.active)
    unseen = sum(alarm.acknowledged_us is None for alarm in book.by_id.values())
    return AlarmCounts(active["critical"], active["warning"], active["notice"], unseen)


def alarm_metrics(book: AlarmBook) -> str:
    """Active alarms by rule and severity in Prometheus' text format, 0 where there is none; no cause as a label."""
    active = Counter((alarm.rule, alarm.severity) for alarm in book.active)
    name = "powerflock_alarms"
    rows = [
        f'{name}{{rule="{rule.wire}",severity="{severity}"}} {active[rule.wire, severity]}\n'
        for rule in Rule
        for severity in SEVERITIES
    ]
    return f"# HELP {name} Alarms that are true now.\n# TYPE {name} gauge\n" + "".join(rows)


def _site(example: Example, registry: Registry) -> str:
    return registry.specs(example.partition)[example.row].site


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else to_rfc3339(time_us)
