"""The plant's clock across restarts: scaled time goes on where it was, and never runs backwards.

The file keeps where the time was anchored and, by its own modification time, when the plant was last alive. After a
short stop time has gone on meanwhile; after a long one (or with another speed) it continues from where it stopped.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from powerflock.domain.clock import (
    MICROS_PER_DAY,
    MICROS_PER_HOUR,
    MICROS_PER_S,
    Clock,
    ScaledClock,
    SystemClock,
    to_rfc3339,
)
from powerflock.domain.errors import InvalidInput
from powerflock.sim.prices import MARKET_TIME_US

_SHORT_STOP_S = 600.0
_ALIVE_FOR_S = 5.0
"""`touch` says that the plant will have been alive until so much later: a crash between two touches loses no time."""
_JUST_AFTER_S = 0.001
_FIRST_HOUR = 17
"""Market time at which a simulated plant starts: there is something to see before long."""


class _Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first_us: int
    start_us: int
    wall_us: int
    speed: float


@dataclass(frozen=True, slots=True)
class Clockwork:
    """The clock to use, when the plant's time first began, and the file that remembers."""

    clock: Clock
    anchor: _Anchor
    file: Path

    @property
    def first_us(self) -> int:
        """When the plant's time began."""
        return self.anchor.first_us

    @staticmethod
    def open(file: Path, speed: float, *, simulated: bool) -> Clockwork:
        """Continue the clock of `file`, or start one: real time at speed 1, else today before the evening peak."""
        wall = time.time_ns() // 1_000
        anchor = _read(file)
        if not simulated and speed == 1.0:
            _refuse_a_step_back(file, anchor, wall)
            anchor = _Anchor(anchor.first_us if anchor else wall, wall, wall, 1.0)
            return Clockwork(SystemClock(), anchor, _write(file, anchor))
        if anchor is None:
            midnight = wall - (wall + MARKET_TIME_US) % MICROS_PER_DAY
            start = midnight + _FIRST_HOUR * MICROS_PER_HOUR
            anchor = _first(file, _Anchor(start, start, wall, speed))
        else:
            alive_us = file.stat().st_mtime_ns // 1_000
            if anchor.speed != speed or wall - alive_us > _SHORT_STOP_S * MICROS_PER_S:
                anchor = _Anchor(anchor.first_us, _stopped_us(file, anchor), wall, speed)
        return Clockwork(ScaledClock(anchor.start_us, anchor.wall_us, speed), anchor, _write(file, anchor))

    def touch(self) -> None:
        """The plant is alive now, and will be for a little while."""
        alive_s = time.time() + _ALIVE_FOR_S
        if not self.file.exists():
            _write(self.file, self.anchor)
        os.utime(self.file, (alive_s, alive_s))


def rest_s(clock: Clock, interval_s: int, period_s: float, spent_s: float) -> float:
    """How long a heartbeat of `period_s` that took `spent_s` rests, wall seconds.

    To where the next interval has just begun, if that is about as near as the next beat: no award is followed late.
    """
    length_us = interval_s * MICROS_PER_S
    left_s = (length_us - clock.now_us() % length_us) / (MICROS_PER_S * clock.speed) + _JUST_AFTER_S
    pause_s = period_s - spent_s
    return left_s if left_s < pause_s + period_s / 4 else max(pause_s, 0.0)


def _read(file: Path) -> _Anchor | None:
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Anchor)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"clock file {file}", str(error), "must be the plant's own", "Remove it to start a new clock."
        ) from error


def _stopped_us(file: Path, anchor: _Anchor) -> int:
    """The plant's time when it was last alive, or a little later."""
    alive_us = file.stat().st_mtime_ns // 1_000
    return anchor.start_us + int((alive_us - anchor.wall_us) * anchor.speed)


def _refuse_a_step_back(file: Path, anchor: _Anchor | None, wall_us: int) -> None:
    """A plant whose scaled time has run ahead of real time cannot go on in real time."""
    if anchor is None or (anchor.start_us == anchor.wall_us and anchor.speed == 1.0):
        return
    stopped_us = _stopped_us(file, anchor)
    if stopped_us > wall_us:
        raise InvalidInput(
            "plant.speed", 1.0, f"would turn this plant's time back: it stopped at {to_rfc3339(stopped_us)}",
            f"Keep --speed {anchor.speed:g}, or choose another --data-dir.",
        )  # fmt: skip


def _first(file: Path, anchor: _Anchor) -> _Anchor:
    """The file's anchor: this one, unless a process that started at the same time was quicker."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(anchor))
    with suppress(FileExistsError):
        file.hardlink_to(temporary)
    temporary.unlink()
    return _read(file) or anchor


def _write(file: Path, anchor: _Anchor) -> Path:
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(anchor))
    temporary.replace(file)
    return file
