"""Alarms over columns: one for each cause, not for each device.

`watch` marks sites by rule, and names the fewest groups or classes that explain where the marked sites are. What each
rule looks at, and why its bounds are what they are, is in docs/alarms.md.
"""

from powerflock.alarms.memory import Rule
from powerflock.alarms.model import Alarm, AlarmBook, Change, Example, Severity, acknowledge
from powerflock.alarms.settings import AlarmSettings, ScanSettings
from powerflock.alarms.watch import AlarmState, watch

__all__ = [
    "Alarm",
    "AlarmBook",
    "AlarmSettings",
    "AlarmState",
    "Change",
    "Example",
    "Rule",
    "ScanSettings",
    "Severity",
    "acknowledge",
    "watch",
]
