"""Readings a message at a time through Quix Streams, in its own environment: the broker and count in one JSON file.

Shares nothing with Powerflock. Produces `messages` JSON readings, consumes them through a stream application whose
function updates an object in a dict, and answers with the seconds that both took: processor and wall.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from quixstreams import Application  # type: ignore[import-not-found]


class Twin:
    """What is known of a device."""

    __slots__ = ("energy_kwh", "power_kw", "seq", "time_us")

    def __init__(self) -> None:
        """Nothing yet."""
        self.seq, self.time_us, self.power_kw, self.energy_kwh = -1, 0, 0.0, 0.0

    def update(self, reading: dict[str, float]) -> None:
        """Take a reading that is newer than the last."""
        if reading["seq"] > self.seq:
            self.seq, self.time_us = int(reading["seq"]), int(reading["time_us"])
            self.power_kw, self.energy_kwh = reading["power_kw"], reading["energy_kwh"]


def main(given: Path, written: Path) -> None:
    """Measure once."""
    asked = json.loads(given.read_bytes())
    count = int(asked["messages"])
    application = Application(
        broker_address=asked["servers"], consumer_group=asked["name"], auto_offset_reset="earliest", loglevel="WARNING"
    )
    topic = application.topic(f"readings-{asked['name']}", value_deserializer="json", value_serializer="json")
    chance = random.Random(1)  # noqa: S311 - readings, not secrets
    twins: dict[int, Twin] = {}

    def apply(reading: dict[str, float]) -> None:
        twins.setdefault(int(reading["device"]), Twin()).update(reading)

    core, wall = time.process_time(), time.perf_counter()
    with application.get_producer() as producer:
        for device in chance.sample(range(count), count):
            reading = {"device": device, "seq": 1, "time_us": 1, "power_kw": 1.5, "energy_kwh": 100.0}
            message = topic.serialize(key=str(device), value=reading)
            producer.produce(topic=topic.name, key=message.key, value=message.value)
        producer.flush()
    application.dataframe(topic).update(apply)
    application.run(count=count)
    spent = {"readings": len(twins), "core_s": time.process_time() - core, "wall_s": time.perf_counter() - wall}
    if len(twins) != count:
        raise SystemExit(f"only {len(twins)} of {count} readings were applied")
    written.write_text(json.dumps(spent), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
