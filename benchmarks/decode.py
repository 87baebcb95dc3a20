"""Readings from frames as devices send them into the log's columns: the gateway's own decoder, in readings per second.

From the bytes of a frame to checked `TELEMETRY` records: codec, session (devices known, credits), batcher, schema. Held
against what comes to mind first: the standard library's `json`, or `msgpack`, and a loop over the readings with a
dictionary for their devices. Frames are those of protocol 1 with a home's few readings and with a full spool's many,
and the columns of protocol 3.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from benchmarks.rows import Row, median_s, more_is_better
from powerflock.domain.arrays import Records
from powerflock.domain.batches import validate
from powerflock.domain.clock import VirtualClock
from powerflock.domain.columns import TELEMETRY, TELEMETRY_SCHEMA, ReadingRow
from powerflock.gateway.batcher import to_records
from powerflock.gateway.packed import POSITION, VALUES
from powerflock.gateway.protocol import JSON, MSGPACK, Codec, Columns, Hello, Readings, Welcome
from powerflock.gateway.session import Address, GatewayOptions, Session, Submission
from powerflock.gateway.tokens import issue

NAME = "decode"
SUMMARY = "readings per second from JSON and MessagePack frames into the log's columns, on one core"

READINGS = 60_000
FEW, MANY = 3, 300
NOW_US = 1_770_000_000_000_000
SECRET = b"of this benchmark"
DEVICES = {"battery": 0, "solar": 1, "meter": 2}


def run(*, quick: bool) -> list[Row]:
    """Rows by codec: a home's frames, full frames and columns, each against a plain loop over the same readings."""
    runs = 3 if quick else 9
    rows = []
    for name, codec, load in (("JSON", JSON, json.loads), ("MessagePack", MSGPACK, msgspec.msgpack.decode)):
        against = f"{'json' if codec is JSON else 'msgspec.msgpack to dicts'} and a loop over the readings"
        kinds = [(f"{size} readings", frames_of(codec, size), frames_of(codec, size)) for size in (FEW, MANY)]
        kinds.append((f"{MANY} readings as columns (protocol 3)", columns_of(codec, MANY), kinds[-1][1]))
        for kind, frames, theirs in kinds:
            ours = READINGS / median_s(partial(decoded, codec, frames), runs, clock=time.process_time)
            plain = READINGS / median_s(partial(looped, load, theirs), runs, clock=time.process_time)
            metric = f"{name} frames of {kind} into the log's columns"
            rows.append(more_is_better(metric, ours, "readings/s", against, plain))
    return rows


@dataclass(frozen=True, slots=True)
class _Home:
    """The address of the one home that there is."""

    partition: int
    row: int
    devices: dict[str, int]


class _Directory:
    """One home."""

    def resolve(self, site: str) -> Address | None:
        """The home, whatever the name."""
        del site
        return _Home(0, 0, DEVICES)


def decoded(codec: Codec, frames: Sequence[bytes]) -> Records:
    """All readings of the frames, through a session and the batcher's columns, every one of them valid."""
    options = GatewayOptions(credits=READINGS)
    session = Session("s", codec, VirtualClock(NOW_US), _Directory(), SECRET, options)
    welcome = session.receive(codec.encode(Hello([1, 2, 3], "home", issue(SECRET, "home"))))
    assert isinstance(welcome, Welcome), "the home is known"
    taken = [result for result in map(session.receive, frames) if isinstance(result, Submission)]
    records = np.concatenate([to_records(part) for part in _parts(taken, options.batch_rows)])
    if records.size != READINGS or validate(records, TELEMETRY_SCHEMA):
        raise RuntimeError(f"{records.size} of {READINGS} readings came through, or not as they are")
    return records


def _parts(taken: list[Submission], rows: int) -> list[list[Submission]]:
    """Submissions as the batcher would have them in its hands at once."""
    each = max(rows // len(taken[0].rows), 1)
    return [taken[start : start + each] for start in range(0, len(taken), each)]


def looped(load: Callable[[bytes], dict[str, list[dict[str, float]]]], frames: Sequence[bytes]) -> Records:
    """The same by hand: a dictionary for each reading, a tuple for each row."""
    rows = []
    for frame in frames:
        for reading in load(frame)["rows"]:
            values = [reading.get(name) for name in VALUES]
            cells = [math.nan if value is None else value for value in values]
            rows.append((DEVICES[str(reading["device"])], *cells[:2], NOW_US, *cells[2:]))
    return np.array(rows, TELEMETRY)


def readings() -> list[ReadingRow]:
    """Readings of the home's devices, one after another."""
    rng, names = np.random.default_rng(5), list(DEVICES)
    power, energy = rng.normal(0.0, 2.0, READINGS).round(3).tolist(), rng.uniform(0.0, 13.0, READINGS).round(3).tolist()
    limits = {"battery": (5.0, 5.0, 13.5), "solar": (None, None, None), "meter": (None, None, None)}
    return [
        ReadingRow(name, at, NOW_US + at, power[at], energy[at], *limits[name])
        for at, name in ((at, names[at % len(names)]) for at in range(READINGS))
    ]


def frames_of(codec: Codec, size: int) -> list[bytes]:
    """Frames of `readings` messages of `size` rows each."""
    rows = readings()
    return [codec.encode(Readings(start, rows[start : start + size])) for start in range(0, READINGS, size)]


def columns_of(codec: Codec, size: int) -> list[bytes]:
    """Frames of `columns` messages of the same readings."""
    records, names = to_records([_submission(readings())]), list(DEVICES)
    frames = []
    for start in range(0, READINGS, size):
        part = records[start : start + size]
        cells = {name: part[name].tobytes() for name in VALUES}
        frames.append(codec.encode(Columns(start, names, part["device"].astype(POSITION).tobytes(), **cells)))
    return frames


def _submission(rows: list[ReadingRow]) -> Submission:
    session = Session("s", JSON, VirtualClock(NOW_US), _Directory(), SECRET, GatewayOptions())
    return Submission(session, 0, 0, [DEVICES[row.device] for row in rows], rows, NOW_US)
