"""Readings through a real Kafka broker beside the client: produced, consumed and applied to twins, in batches.

Ours are Arrow batches of 10,000 readings through the log's port, acknowledged by the broker, read as committed, decoded
and applied to a million twins. The peer is Quix Streams in an environment of its own, on the same broker: the same
readings as JSON, a message each, every one taken by a function that updates an object in a dict, with its own default
settings. Both produce first and consume then, and a reading counts once for both. "By client core-second" divides by
the processor time of the client's process, all threads; "by the wall" by the time passed, the broker's work included.
The broker has the socket buffers that docs/kafka.md advises, and first serves until its virtual machine has compiled
what it does again and again: that takes it as much processor time as the serving itself.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import fleets, peers
from benchmarks.rows import Row, more_is_better
from benchmarks.twins import BATCH_ROWS
from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode
from powerflock.domain.columns import TELEMETRY
from powerflock.log.kafka_options import KafkaOptions, TopicOptions
from powerflock.log.open import open_log
from powerflock.log.port import Log
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from tests.kafka import brokers

NAME = "kafka"
SUMMARY = "readings through a real Kafka broker into twins, in batches, against Quix Streams a message at a time"

PEER = peers.Peer("quixstreams", ("quixstreams==3.28.1",), "kafka_peer.py")
SITES = 400_000
"""With 2.5 devices each."""
MESSAGES, QUICK_MESSAGES = 100_000, 20_000
READ_ENTRIES = 20
BUFFERS = {"socket.receive.buffer.bytes": 1 << 20, "socket.send.buffer.bytes": 1 << 20}
WARM_S, QUICK_WARM_S = 12.0, 1.0
"""How long rounds go on before they count; by then a new broker takes the half of the time of its first rounds."""


class Spent(msgspec.Struct, frozen=True):
    """Readings, and the seconds they took: of the processor in the client's process, and by the wall."""

    readings: int
    core_s: float
    wall_s: float


class Stage(NamedTuple):
    """A part of a round."""

    produced: Spent
    applied: Spent

    @property
    def whole(self) -> Spent:
        """Both parts, one after the other."""
        one, two = self.produced, self.applied
        return Spent(one.readings, one.core_s + two.core_s, one.wall_s + two.wall_s)


def run(*, quick: bool) -> list[Row]:
    """Rows by core-second and by the wall, whole and by part; the peer's are left out where it cannot be installed."""
    with broker() as servers:
        options = KafkaOptions(prefix="benchmark.", topics={"telemetry": TopicOptions(1)})
        log = open_log(f"kafka://{servers}", options)
        rounds = list(_rounds(log, 3 if quick else 7, QUICK_WARM_S if quick else WARM_S))
        bare = list(_bare(log, 3))
        log.close()
        theirs = _peer(servers, QUICK_MESSAGES if quick else MESSAGES, 1 if quick else 3)
    whole = [stage.whole for stage in rounds]
    metric = f"readings produced, consumed and applied to the twins of {SITES:,} sites, batches of {BATCH_ROWS:,}"
    rows = [
        _row(f"{metric}, by client core-second", _rate(whole, "core_s"), theirs, "core_s"),
        _row(f"{metric}, by the wall, broker beside it", _rate(whole, "wall_s"), theirs, "wall_s"),
    ]
    parts = {"produced": [stage.produced for stage in rounds], "consumed and applied": [s.applied for s in rounds]}
    for part, spent in parts.items():
        rows.append(_row(f"readings {part}, by client core-second", _rate(spent, "core_s"), [], "core_s"))
        rows.append(_row(f"readings {part}, by the wall", _rate(spent, "wall_s"), [], "wall_s"))
    alone = "the client alone: as many bytes handed to it and fetched"
    rows.append(more_is_better(rows[0].metric, rows[0].value, "readings/s", alone, _rate(bare, "core_s")))
    return rows


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker of our own."""
    reason = brokers.missing()
    if reason:
        raise RuntimeError(reason)
    with (
        tempfile.TemporaryDirectory() as folder,
        brokers.running(Path(folder), properties=BUFFERS, heap_mb=1024, quick=False) as cluster,
    ):
        yield cluster.bootstrap


def _row(metric: str, value: float, theirs: list[Spent], by: str) -> Row:
    if not theirs:
        return Row(metric=metric, value=value, unit="readings/s")
    against = f"Quix Streams 3.28.1, a JSON message for each of {theirs[0].readings:,} readings"
    return more_is_better(metric, value, "readings/s", against, _rate(theirs, by))


def _rate(spent: list[Spent], by: str) -> float:
    """Median readings a second."""
    return statistics.median(each.readings / float(getattr(each, by)) for each in spent)


def _bare(log: Log, count: int) -> Iterator[Spent]:
    """Rounds of as many bytes that nobody makes or looks at: what the client alone takes. The first is not counted."""
    rows = fleets.readings(fleets.table(SITES))
    payloads = [encode(rows[first : first + BATCH_ROWS]) for first in range(0, len(rows), BATCH_ROWS)]
    offset = log.end("telemetry", 0)
    for number in range(count + 1):
        with timed() as times:
            for first in range(0, len(payloads), 10):
                log.append_many([("telemetry", 0, payload) for payload in payloads[first : first + 10]])
            read = 0
            while read < len(payloads):
                entries = log.read("telemetry", 0, offset, READ_ENTRIES)
                read, offset = read + len(entries), entries[-1].offset + 1 if entries else offset
        log.trim("telemetry", 0, offset)
        if number:
            yield Spent(rows.size, *times)


def _rounds(log: Log, count: int, warm_s: float) -> Iterator[Stage]:
    """A reading of each device in each round; what runs within `warm_s`, one at least, is not counted."""
    table = fleets.table(SITES)
    shard, rows, offset = Shard.of(table), fleets.readings(table), log.end("telemetry", 0)
    warm, counted = False, 0
    began = time.monotonic()
    while counted < count:
        rows["seq"] += 1
        with timed() as produced:
            produce(log, [rows], BATCH_ROWS)
        with timed() as applied:
            offset = apply(log, 0, shard, offset)
        log.trim("telemetry", 0, offset)
        if warm:
            counted += 1
            yield Stage(*(Spent(rows.size, *times) for times in (produced, applied)))
        warm = warm or time.monotonic() - began > warm_s


@contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds of the processor and of the wall that the block takes."""
    spent: list[float] = []
    core, wall = time.process_time(), time.perf_counter()
    yield spent
    spent += [time.process_time() - core, time.perf_counter() - wall]


def produce(log: Log, rows: Sequence[Records], batch_rows: int) -> None:
    """Encode and append the rows of each partition, the first batch of each, then the second; 10 on the way at once."""
    longest = max(len(own) for own in rows)
    firsts = [
        (place, first)
        for first in range(0, longest, batch_rows)
        for place, own in enumerate(rows)
        if first < len(own)
    ]  # fmt: skip
    for start in range(0, len(firsts), 10):
        some = firsts[start : start + 10]
        log.append_many(
            [("telemetry", place, encode(rows[place][first : first + batch_rows])) for place, first in some]
        )


def apply(log: Log, partition: int, shard: Shard, offset: int, rounds: int = 1) -> int:
    """Read so many readings of each device from `offset` on and apply them; returns the next. Each must take effect."""
    applied = 0
    while applied < rounds * shard.devices.size:
        for entry in log.read("telemetry", partition, offset, READ_ENTRIES):
            report = step(shard, decode(entry.payload, TELEMETRY), fleets.NOW_US)
            if report.applied != report.rows:
                raise RuntimeError(f"only {report.applied} of {report.rows} readings were applied")
            applied += report.rows
            offset = entry.offset + 1
    return offset


def _peer(servers: str, messages: int, runs: int) -> list[Spent]:
    """The peer's runs, each with a topic of its own; one more goes before that is not counted. Empty without it."""
    spent = []
    for run in range(runs + 1):
        answer = peers.ask(PEER, msgspec.json.encode({"servers": servers, "messages": messages, "name": f"peer-{run}"}))
        if answer is None:
            return []
        spent.append(msgspec.json.decode(answer, type=Spent))
    return spent[1:]
