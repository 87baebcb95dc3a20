"""The newest order of the autobidder, followed in the log.

Invariant: an order of a version that this process does not know is counted and passed over, so that processes can be
renewed one after another. What it orders is not followed: commands run out, and homes go on by their policies.
"""

from __future__ import annotations

from powerflock.domain.errors import InvalidInput
from powerflock.log.port import Log
from powerflock.plant.messages import Order, decode_order

TOPIC = "orders"


class NewestOrder:
    """`newest` is None before the first."""

    def __init__(self, log: Log) -> None:
        """Nothing read yet."""
        self._log, self._next = log, 0
        self.newest: Order | None = None
        self.refused = 0
        """Orders that could not be read."""
        self.trouble = ""
        """Why the newest could not be read; empty when it could."""

    def follow(self) -> None:
        """Read on to the end."""
        entries = self._log.read(TOPIC, 0, self._next) if self._next else self._log.newest(TOPIC, 0)
        while entries:
            self._next = entries[-1].offset + 1
            try:
                self.newest, self.trouble = decode_order(entries[-1].payload), ""
            except InvalidInput as error:
                self.refused += 1
                self.trouble = str(error)
            entries = self._log.read(TOPIC, 0, self._next)
