"""Reads NEM12 meter data files (Australian interval metering) into homes that replay their net load.

A NEM12 file holds what flowed through the meter, not gross use and generation: load = imports (E) − exports (B) is the
net load, solar is 0, and `load_kw` may be negative. Times are NEM time (UTC+10), days start at midnight.
Invariants: nothing is filled; reactive and other channels are passed over. Must not know what the homes are used for.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_S
from powerflock.domain.errors import InvalidInput
from powerflock.sim.metered import Metered, Terms, fleet_of
from powerflock.sim.prices import MARKET_TIME_US
from powerflock.sim.profiles import STEP_US, STEPS_PER_DAY, Fleet

_UNITS = {"WH": 1e-3, "KWH": 1.0, "MWH": 1e3}
_QUALITIES = "AEFSV"
_MINUTES_PER_DAY = 1440


@dataclass(slots=True)
class _Channel:
    """The 200 record in force: whose meter, which way, unit factor (NaN: not energy), interval length."""

    nmi: str
    register: str
    factor: float
    minutes: int

    @property
    def sign(self) -> float:
        """+1 for imports, −1 for exports, 0 for anything else."""
        return 0.0 if np.isnan(self.factor) else {"E": 1.0, "B": -1.0}.get(self.register[:1], 0.0)


@dataclass(slots=True)
class _Reader:
    """What has been read so far: kWh by NMI, register and day, (288,) 5-minute steps."""

    path: Path
    days: dict[str, dict[tuple[str, int], F64]] = field(default_factory=dict)
    channel: _Channel | None = None
    variable: int = 0
    covered: int = 0
    line: int = 0
    substituted: int = 0
    seen: int = 0

    def bad(self, thing: str, value: object, bound: str, remedy: str = "") -> InvalidInput:
        """The error for this line."""
        return InvalidInput(f"{self.path}, line {self.line}: {thing}", value, bound, remedy)


def read_nem12(path: Path) -> Fleet:
    """One home per NMI; every fault is `InvalidInput` naming the file, the line and the value."""
    if not path.is_file():
        raise InvalidInput("NEM12 file", str(path), "must exist and be a file")
    reader, ended = _Reader(path), False
    with path.open(newline="", encoding="utf-8-sig") as lines:
        for reader.line, record in enumerate(csv.reader(lines), start=1):
            if not record or ended:
                continue
            ended = _record(reader, record)
    if not ended:
        raise reader.bad("last record", "none", "must be 900", "The file is cut off; fetch it again.")
    return _fleet(reader)


def _record(reader: _Reader, record: list[str]) -> bool:
    """Take one record; true when it ends the file."""
    kind = record[0]
    if reader.line == 1:
        if kind != "100" or len(record) < 2 or record[1] != "NEM12":
            raise reader.bad("first record", ",".join(record[:2]), "must be 100,NEM12")
        return False
    if kind != "400":
        _check_covered(reader)
    if kind == "200":
        reader.channel = _channel(reader, record)
    elif kind == "300":
        _interval_data(reader, record)
    elif kind == "400":
        _quality_range(reader, record)
    elif kind not in {"500", "900"}:
        raise reader.bad("record indicator", kind, "must be 200, 300, 400, 500 or 900")
    return kind == "900"


def _channel(reader: _Reader, record: list[str]) -> _Channel:
    if len(record) < 9:
        raise reader.bad("fields of the 200 record", len(record), "must be 9 or more")
    nmi, register, unit, minutes = record[1], record[4], record[7].upper(), record[8]
    if not nmi or not register:
        raise reader.bad("NMI and its suffix", (nmi, register), "must both be given")
    if minutes not in {"5", "15", "30"}:
        raise reader.bad("interval length", minutes, "must be 5, 15 or 30 minutes")
    if unit not in _UNITS and register[0] in "EB":
        raise reader.bad(f"unit of {register}", record[7], "must be Wh, kWh or MWh")
    return _Channel(nmi, register, _UNITS.get(unit, np.nan), int(minutes))


def _interval_data(reader: _Reader, record: list[str]) -> None:
    """A 300 record: one day of one channel."""
    channel = reader.channel
    if channel is None:
        raise reader.bad("300 record", record[1:2], "must follow a 200 record")
    count = _MINUTES_PER_DAY // channel.minutes
    if len(record) < count + 3:
        raise reader.bad("fields of the 300 record", len(record), f"must be {count + 3} or more: {count} values")
    if channel.sign == 0.0:
        return
    quality = record[count + 2]
    if quality[:1] not in tuple(_QUALITIES):
        raise reader.bad(
            "quality", quality, f"must begin with one of {', '.join(_QUALITIES)}", "Data is missing there."
        )
    reader.seen += count
    if quality.startswith("V"):
        reader.variable, reader.covered = count, 0
    elif quality != "A":
        reader.substituted += count
    day = _day(reader, record[1])
    registers = reader.days.setdefault(channel.nmi, {})
    if (channel.register, day) in registers:
        raise reader.bad(f"day of {channel.nmi} {channel.register}", record[1], "must appear once")
    steps = channel.minutes * 60 * MICROS_PER_S // STEP_US
    registers[channel.register, day] = np.repeat(_values(reader, record[2 : count + 2]) * channel.factor / steps, steps)


def _day(reader: _Reader, text: str) -> int:
    """Days since 1970-01-01 of YYYYMMDD."""
    try:
        stamp = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise reader.bad("interval date", text, "must be YYYYMMDD") from error
    return int(stamp.timestamp()) * MICROS_PER_S // MICROS_PER_DAY


def _values(reader: _Reader, texts: list[str]) -> F64:
    for index, text in enumerate(texts, start=1):
        try:
            good = 0.0 <= float(text) < np.inf
        except ValueError:
            good = False
        if not good:
            raise reader.bad(f"value {index}", text, "must be a number, 0 or more")
    return np.array(texts, dtype=np.float64)


def _quality_range(reader: _Reader, record: list[str]) -> None:
    """A 400 record: the quality of a range of the day before; without energy before it, it is passed over."""
    if not reader.variable:
        return
    try:
        first, last, quality = int(record[1]), int(record[2]), record[3]
    except (ValueError, IndexError) as error:
        raise reader.bad("400 record", ",".join(record), "must be 400,first,last,quality") from error
    if first != reader.covered + 1 or not first <= last <= reader.variable:
        bound = f"must start at {reader.covered + 1} and end by {reader.variable}"
        raise reader.bad("range of the 400 record", (first, last), bound)
    if quality[:1] not in tuple("AEFS"):
        raise reader.bad("quality", quality, "must begin with A, E, F or S", "Data is missing there.")
    reader.covered = last
    reader.substituted += 0 if quality == "A" else last - first + 1


def _check_covered(reader: _Reader) -> None:
    if reader.covered != reader.variable:
        bound = f"must reach interval {reader.variable}, as quality V says"
        raise reader.bad("400 records before this line: last interval", reader.covered, bound)
    reader.variable = reader.covered = 0


def _fleet(reader: _Reader) -> Fleet:
    """Homes of all NMIs, which must cover the same days without a gap."""
    if not reader.days:
        raise InvalidInput(str(reader.path), "no E or B channel", "must hold energy of at least one meter")
    spans = {nmi: _span(reader, nmi) for nmi in reader.days}
    first_nmi, span = next(iter(spans.items()))
    for nmi, other in spans.items():
        if other != span:
            bound = f"must equal {span} of {first_nmi}"
            raise InvalidInput(f"{reader.path}: days since 1970 of {nmi}", other, bound, "Split the file by span.")
    first, last = span
    net = np.zeros((len(spans), (last - first + 1) * STEPS_PER_DAY))
    for row, registers in enumerate(reader.days.values()):
        for (register, day), energy in registers.items():
            at = (day - first) * STEPS_PER_DAY
            net[row, at : at + STEPS_PER_DAY] += energy if register.startswith("E") else -energy
    metered = Metered(list(spans), first * MICROS_PER_DAY - MARKET_TIME_US, STEP_US, net, np.zeros_like(net))
    share = reader.substituted / reader.seen
    source = f"{reader.path.name} (NEM12, net load; {share:.0%} of values not read but substituted)"
    return fleet_of(metered, [Terms()] * len(spans), source)


def _span(reader: _Reader, nmi: str) -> tuple[int, int]:
    """First and last day of an NMI; each register must hold every day between."""
    registers = reader.days[nmi]
    days = sorted({day for _, day in registers})
    for register in sorted({name for name, _ in registers}):
        for day in range(days[0], days[-1] + 1):
            if (register, day) not in registers:
                stamp = np.datetime64(day, "D")
                raise InvalidInput(
                    f"{reader.path}: {nmi} {register} on", str(stamp), "must be present", "Fill the gap."
                )
    return days[0], days[-1]
