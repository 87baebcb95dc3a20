"""What the API says of alarms, as msgspec Structs; conventions as in `models`.

Sites are named by their ids, never by rows. Must not know FastAPI or how alarms are found.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from powerflock.alarms import Severity


class AlarmCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Alarms that are true now, by severity; `unacknowledged` counts those nobody has seen, true now or cleared."""

    critical: int = 0
    warning: int = 0
    notice: int = 0
    unacknowledged: int = 0


class AlarmRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cause that is wrong now (`active`) or was (`cleared`), with a sentence that says it; see docs/alarms.md.

    `affected_kw` ≥ 0 is the nameplate discharge power of the affected sites' batteries. `examples` are ids of sites
    that were affected when it was raised.
    """

    id: str
    rule: str
    severity: Severity
    kind: str
    name: str
    state: str
    since: str
    seen: str
    cleared: str | None
    acknowledged: str | None
    acknowledged_by: str | None
    sites: int
    of_sites: int
    affected_kw: float
    examples: Sequence[str]
    sentence: str


class AcknowledgeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has seen the alarm: a name of 1 to 64 characters."""

    by: str
