"""What the rules remember of each site between looks, and the marks they leave on it.

Invariants: one row per site row of the partition, 54 bytes; a mark stays until the rule that made it looks again. The
site is marked `DROPOUT` only where its contact is missing and that is not usual for it. Must not know groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F32, F64, U8, Records


class Rule(IntEnum):
    """What can be wrong with a site; a site's mark of a rule is the bit of that number."""

    DROPOUT = 0
    WRONG_SIGN = 1
    DRIFT = 2
    DERATING = 3
    FADE = 4
    SUDDEN_FADE = 5

    @property
    def wire(self) -> str:
        """The name in messages."""
        return self.name.lower()


ABSENT = len(Rule)
"""The bit of a site out of contact for so long, or from the start, that it is nothing new."""

SITE_MEMORY = np.dtype(
    [
        ("told_us", "<i8"),
        ("meter_kw", "<f4"),
        ("setpoint_kw", "<f4"),
        ("from_kw", "<f4"),
        ("asked_kw", "<f4"),
        ("over_kwh", "<f4"),
        ("under_kwh", "<f4"),
        ("derated_s", "<f4"),
        ("today_kwh", "<f4"),
        ("yesterday_kwh", "<f4"),
        ("low_s", "<f4"),
        ("wrong", "u1"),
    ]
)
"""Of a site: meter and setpoint at the last look; meter before the setpoint moved (NaN: no response is awaited), by how
much it moved and when; wrong responses in a row; energy beyond the drift bound, either way; how long derated; the
highest full-pack energy seen today and yesterday, and how long it has been far below."""


@dataclass(slots=True, eq=False)
class Memory:
    """One partition, (S,) each: `usual`, 0–1, how usual it is that contact is lost; `marks`, bits; `sites`, records."""

    usual: F32
    marks: U8
    sites: Records

    @staticmethod
    def empty() -> Memory:
        """A partition without sites."""
        return Memory(np.empty(0, np.float32), np.empty(0, np.uint8), np.empty(0, SITE_MEMORY))

    def grow(self, age_us: F64, usual_us: int) -> None:
        """Take in new sites, the (S,) `age_us` of all given: one never heard of is usually lost, one just heard not."""
        known, new = self.marks.size, age_us[self.marks.size :]
        if new.size == 0:
            return
        usual = np.where(np.isnan(new), 1.0, 1.0 - np.exp2(-new / usual_us)).astype(np.float32)
        row = np.array((0, *(np.nan,) * 4, 0.0, 0.0, 0.0, np.nan, np.nan, 0.0, 0), SITE_MEMORY)
        self.usual = np.concatenate((self.usual, usual))
        self.marks = np.concatenate((self.marks, np.zeros(new.size, np.uint8)))
        self.sites = np.concatenate((self.sites, np.full(age_us.size - known, row, SITE_MEMORY)))

    def begin_day(self) -> None:
        """What was today is yesterday."""
        self.sites["yesterday_kwh"] = self.sites["today_kwh"]
        self.sites["today_kwh"] = np.nan

    @property
    def nbytes(self) -> int:
        """Bytes that the columns hold."""
        return int(self.usual.nbytes + self.marks.nbytes + self.sites.nbytes)
