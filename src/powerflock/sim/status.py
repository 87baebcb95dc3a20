"""What the virtual fleet shows on stderr: a live line in a terminal, a line for each change elsewhere.

Must not know the fleet: it is told numbers and reasons.
"""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console

from powerflock.domain.clock import to_rfc3339

_REPEAT_S = 10.0


class Status:
    """The fleet's standing; every method is cheap."""

    def __init__(self, homes: int) -> None:
        """For `homes` homes."""
        self._homes, self._console = homes, Console(stderr=True, highlight=False)
        self._live = self._console.status("starting") if self._console.is_terminal else None
        self._said: dict[str, float] = {}
        self._all = False

    def __enter__(self) -> Self:
        """Start the live line."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._live:
            self._live.stop()

    def waiting(self, reason: str) -> None:
        """The plant is not there yet."""
        if self._live:
            self._live.update(f"waiting: {reason}")
        self.say("waiting", f"waiting for the plant: {reason}")

    def say(self, kind: str, text: str) -> None:
        """A line about something of this `kind`, at most one in ten seconds each."""
        now = time.monotonic()
        if now - self._said.get(kind, -_REPEAT_S) >= _REPEAT_S:
            self._said[kind] = now
            self._console.print(f"fleet: {text}", markup=False, soft_wrap=True)

    def standing(self, connected: int, time_us: int, sent: int, acked: int, waiting: int) -> None:
        """Numbers now: homes connected, the plant's time, readings sent and acknowledged, batches waiting."""
        text = (
            f"{connected}/{self._homes} homes connected · {acked} of {sent} readings acknowledged · {waiting} waiting"
        )
        if self._live:
            self._live.update(f"{to_rfc3339(time_us)} · {text}")
        elif (connected == self._homes) != self._all:
            self._console.print(f"fleet: {text}", markup=False, soft_wrap=True)
        self._all = connected == self._homes
