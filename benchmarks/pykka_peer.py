"""Twins as Pykka actors, a thread each: run in Pykka's own environment, seconds of each round written as JSON.

Shares nothing with Powerflock. Given `devices` and `rounds`: in each round every device is told one newer reading, in
random order, and at its end each is asked whether it took it. The first round is not counted. Seconds are those of the
process's own processor time.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pykka  # type: ignore[import-not-found]


class Device(pykka.ThreadingActor):  # type: ignore[misc]  # unknown here
    """A device: the newest reading wins."""

    def __init__(self) -> None:
        super().__init__()
        self.seq, self.time_us, self.power_kw, self.energy_kwh = -1, 0, 0.0, 0.0

    def on_receive(self, message: tuple[int, int, float, float] | None) -> int:
        """Take a reading; answer None with the newest sequence number."""
        if message is not None and message[0] > self.seq:
            self.seq, self.time_us, self.power_kw, self.energy_kwh = message
        return self.seq


def rounds_s(devices: int, rounds: int) -> list[float]:
    """Seconds of each round but the first."""
    actors = [Device.start() for _ in range(devices)]
    order, seconds = list(range(devices)), []
    for seq in range(rounds + 1):
        random.Random(seq).shuffle(order)  # noqa: S311 - no secret
        start = time.process_time()
        for device in order:
            actors[device].tell((seq, 1_770_000_000_000_000 + seq, 1.5, 100.0))
        newest = pykka.get_all([actor.ask(None, block=False) for actor in actors])
        seconds.append(time.process_time() - start)
        if any(found != seq for found in newest):
            raise RuntimeError("a reading was not taken")
    pykka.ActorRegistry.stop_all()
    return seconds[1:]


if __name__ == "__main__":
    given, written = (Path(name) for name in sys.argv[1:3])
    asked = json.loads(given.read_text(encoding="utf-8"))
    written.write_text(json.dumps(rounds_s(asked["devices"], asked["rounds"])), encoding="utf-8")
