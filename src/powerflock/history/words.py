"""The history's words: what can be asked, and what a historian counts. Values that cost nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from powerflock.domain.clock import to_rfc3339
from powerflock.domain.errors import InvalidInput

GROUP = "historian"
"""The log's group whose committed offsets say what is in the history."""
Method: TypeAlias = Literal["raw", "minmax", "lttb", "mean"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a site; a site's own series is its meter's."""

    site: str
    device: str = "meter"


@dataclass(frozen=True, slots=True)
class Group:
    """A group by name: `portfolio`, `VIC1`, `VIC1/feeder-1`, `set:cohort-a`."""

    name: str


Subject: TypeAlias = Device | Group


@dataclass(frozen=True, slots=True)
class Span:
    """Times in [from_us, to_us)."""

    from_us: int
    to_us: int

    def __post_init__(self) -> None:
        """Refuse an empty span."""
        if not self.from_us < self.to_us:
            bound = f"must be after its beginning, {to_rfc3339(self.from_us)}"
            raise InvalidInput("end of the time range", to_rfc3339(self.to_us), bound)


@dataclass(slots=True)
class HistoryCounts:
    """Rows appended, readings refused, log entries trimmed before they could be read, steps that a rival overtook."""

    rows: int = 0
    refused: int = 0
    missed: int = 0
    overtaken: int = 0
