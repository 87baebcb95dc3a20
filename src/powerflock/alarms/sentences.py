"""Clusters as alarms: identity, severity, and what an operator reads. Must not know columns."""

from __future__ import annotations

import math

from powerflock.alarms.causes import Key
from powerflock.alarms.memory import Rule
from powerflock.alarms.model import Alarm, Severity
from powerflock.alarms.scan import Cluster

_SEVERITY: dict[Rule, Severity] = {
    Rule.DROPOUT: "critical",
    Rule.WRONG_SIGN: "critical",
    Rule.DRIFT: "warning",
    Rule.DERATING: "warning",
    Rule.FADE: "warning",
    Rule.SUDDEN_FADE: "critical",
}
_WHAT = {
    Rule.DROPOUT: "Contact lost with {sites}",
    Rule.WRONG_SIGN: "Power moves the wrong way when commanded at {sites}",
    Rule.DRIFT: "Power stays off its confirmed setpoint at {sites}",
    Rule.DERATING: "Batteries report power limits far below their nameplate at medium charge, as they do when hot or "
    "cold, at {sites}",
    Rule.FADE: "Batteries hold far less than their nameplate says at {sites}",
    Rule.SUDDEN_FADE: "Batteries lost capacity within two days at {sites}",
}
_SCATTERED: Severity = "notice"


def alarm_id(rule: Rule, key: Key) -> str:
    """The alarm's name for as long as this cause is wrong in this way: `dropout:region:west`, `fade:portfolio`."""
    kind, name = key
    return f"{rule.wire}:{kind}:{name}" if name else f"{rule.wire}:{kind}"


def alarm_of(rule: Rule, key: Key, cluster: Cluster, affected_kw: float, now_us: int, *, scattered: bool) -> Alarm:
    """A cluster as an alarm raised now, without examples; `scattered` sites have nothing in common but the rule."""
    kind, name = key
    severity = _SCATTERED if scattered else _SEVERITY[rule]
    return Alarm(
        id=alarm_id(rule, key),
        rule=rule.wire,
        severity=severity,
        kind=kind,
        name=name,
        since_us=now_us,
        seen_us=now_us,
        sites=cluster.sites,
        of_sites=cluster.of_sites,
        affected_kw=affected_kw,
        examples=(),
        sentence=_sentence(rule, key, cluster, affected_kw, scattered=scattered),
    )


def _sentence(rule: Rule, key: Key, cluster: Cluster, affected_kw: float, *, scattered: bool) -> str:
    what = _WHAT[rule].format(sites=_sites(rule, key, cluster))
    if scattered:
        what += ", with no group in common"
    elif not math.isnan(cluster.elsewhere_ratio):
        what += f", against {_percent(cluster.elsewhere_ratio)} elsewhere"
    return f"{what}: {_power(affected_kw)} of battery power is affected."


def _sites(rule: Rule, key: Key, cluster: Cluster) -> str:
    kind, name = key
    noun = "sites" if rule is Rule.DROPOUT else "battery sites"
    share = f"{cluster.sites:,} of {cluster.of_sites:,} {noun} ({_percent(cluster.sites / cluster.of_sites)})"
    return f"{share} in the portfolio" if kind == "portfolio" else f"{share} of {kind} {name}"


def _percent(ratio: float) -> str:
    return "0%" if ratio == 0.0 else f"{100.0 * ratio:.2g}%" if ratio < 0.995 else f"{100.0 * ratio:.0f}%"


def _power(power_kw: float) -> str:
    return f"{power_kw / 1000.0:,.1f} MW" if power_kw >= 1000.0 else f"{power_kw:,.0f} kW"
