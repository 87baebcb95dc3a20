"""Twins as Ray actors, a process each: run in Ray's own environment, seconds of each round written as JSON.

Shares nothing with Powerflock. Given `devices` and `rounds`: in each round every actor is called ten times, a newer
reading each, in random order, without waiting in between; then all answers are fetched. The first round is not counted,
and each is divided by ten: seconds for one reading of each device. The actors ask for no processor, so that they fit.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray  # type: ignore[import-not-found]

CALLS = 10


class Device:
    """A device: the newest reading wins."""

    def __init__(self) -> None:
        self.seq, self.time_us, self.power_kw, self.energy_kwh = -1, 0, 0.0, 0.0

    def update(self, seq: int, time_us: int, power_kw: float, energy_kwh: float) -> int:
        """Take a reading; answer with the newest sequence number."""
        if seq > self.seq:
            self.seq, self.time_us, self.power_kw, self.energy_kwh = seq, time_us, power_kw, energy_kwh
        return self.seq


def rounds_s(devices: int, rounds: int) -> list[float]:
    """Seconds of each round but the first, by reading of each device."""
    remote = ray.remote(num_cpus=0)(Device)
    actors = [remote.remote() for _ in range(devices)]
    ray.get([actor.update.remote(0, 0, 0.0, 0.0) for actor in actors])
    order, seconds, seq = list(range(devices)), [], 0
    for number in range(rounds + 1):
        random.Random(number).shuffle(order)  # noqa: S311 - no secret
        start, answers = time.perf_counter(), []
        for _ in range(CALLS):
            seq += 1
            answers = [actors[at].update.remote(seq, 1_770_000_000_000_000 + seq, 1.5, 100.0) for at in order]
        newest = ray.get(answers)  # an actor's calls are served in order: the last answer is the last of all
        seconds.append((time.perf_counter() - start) / CALLS)
        if any(found != seq for found in newest):
            raise RuntimeError("a reading was not taken")
    return seconds[1:]


if __name__ == "__main__":
    given, written = (Path(name) for name in sys.argv[1:3])
    asked = json.loads(given.read_text(encoding="utf-8"))
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    written.write_text(json.dumps(rounds_s(asked["devices"], asked["rounds"])), encoding="utf-8")
    ray.shutdown()
