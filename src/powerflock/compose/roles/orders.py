"""The newest order of the autobidder, followed in the log."""

from __future__ import annotations

from powerflock.log.port import Log
from powerflock.plant.messages import Order, decode_order

TOPIC = "orders"


class NewestOrder:
    """`newest` is None before the first."""

    def __init__(self, log: Log) -> None:
        """Nothing read yet."""
        self._log, self._next = log, 0
        self.newest: Order | None = None

    def follow(self) -> None:
        """Read on to the end."""
        entries = self._log.newest(TOPIC, 0) if self.newest is None else self._log.read(TOPIC, 0, self._next)
        while entries:
            self.newest, self._next = decode_order(entries[-1].payload), entries[-1].offset + 1
            entries = self._log.read(TOPIC, 0, self._next)
