"""A process's numbers in Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec


class Gauge(msgspec.Struct, frozen=True):
    """One number of a process for Prometheus; `labels` never name a site."""

    name: str
    value: float
    help: str
    labels: Mapping[str, str] = {}
    kind: str = "gauge"


def prometheus(gauges: Sequence[Gauge]) -> str:
    """Prometheus' text format; gauges of one name follow one another."""
    lines: list[str] = []
    for number, gauge in enumerate(gauges):
        if number == 0 or gauges[number - 1].name != gauge.name:
            lines += [f"# HELP {gauge.name} {gauge.help}.", f"# TYPE {gauge.name} {gauge.kind}"]
        labels = ",".join(f'{key}="{value}"' for key, value in gauge.labels.items())
        lines.append(f"{gauge.name}{'{' + labels + '}' if labels else ''} {_number(gauge.value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """As Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(value)
