"""Readings that come as whole columns: bytes into `TELEMETRY` records, with no Python object for any reading.

Invariants: a column is either whole, little-endian and as long as the others, or the message is refused with its name;
the records say the same as the rows of a `readings` message would. Must not know sessions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from powerflock.domain.arrays import I64, Records
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.errors import ProtocolError
from powerflock.gateway.protocol import Code, Columns

POSITION = np.dtype("<u2")
"""Type of the column `device`: positions in `devices`."""
OPTIONAL = ("charge_limit_kw", "discharge_limit_kw", "capacity_kwh")
VALUES = ("seq", "time_us", "power_kw", "energy_kwh", *OPTIONAL)
_DTYPES = {"device": POSITION} | {name: TELEMETRY[name] for name in VALUES}


def count(message: Columns) -> int:
    """N, the number of readings; `ProtocolError` names a column that has not as many."""
    size = len(message.device) // POSITION.itemsize
    for name, dtype in _DTYPES.items():
        found = len(getattr(message, name))
        if found != size * dtype.itemsize and (found or name not in OPTIONAL):
            text = f"batch {message.batch}: column {name} has {found} bytes"
            raise ProtocolError(Code.BAD_FRAME, f"{text}; {size} readings of {dtype.itemsize} bytes were expected")
    return size


def device_numbers(message: Columns, devices: Mapping[str, int]) -> I64:
    """(N,) number of each reading's device among `devices`; -1 for one that is not there."""
    position = np.frombuffer(message.device, POSITION)
    if position.size and position.max() >= len(message.devices):
        row = int(np.argmax(position >= len(message.devices)))
        text = f"device is {position[row]}; it must be a position among the {len(message.devices)} of devices"
        raise ProtocolError(Code.BAD_FRAME, f"batch {message.batch}, row {row}: {text}")
    known: I64 = np.array([devices.get(name, -1) for name in message.devices], np.int64)
    return known[position]


def device_name(message: Columns, row: int) -> str:
    """The name that the reading at `row` gives for its device."""
    return message.devices[int(np.frombuffer(message.device, POSITION)[row])]


def unpack(message: Columns, numbers: I64, received_us: int) -> Records:
    """The (N,) records of a message that `count` has found whole; a column left out is unknown, NaN."""
    records: Records = np.empty(numbers.size, TELEMETRY)
    records["device"], records["received_us"] = numbers, received_us
    for name in VALUES:
        column = getattr(message, name)
        records[name] = np.frombuffer(column, TELEMETRY[name]) if column else np.nan
    return records
