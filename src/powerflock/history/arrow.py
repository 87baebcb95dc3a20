"""Numpy columns and names as Arrow arrays on the same memory; NaN stays NaN, it does not become null.

Not `pa.array`, which imports pandas at its first call: these run beside the ring's turn. Must not know any table.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from powerflock.domain.arrays import I64
from powerflock.domain.clock import MICROS_PER_DAY


def numbers(values: NDArray[np.generic]) -> pa.Array:
    """(N,) numbers."""
    return _fixed(pa.from_numpy_dtype(values.dtype), values)


def days(time_us: I64) -> pa.Array:
    """(N,) the UTC days of times."""
    return _fixed(pa.date32(), (time_us // MICROS_PER_DAY).astype(np.int32))


def texts(names: Iterable[str]) -> pa.StringArray:
    """(N,) names."""
    encoded = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def _fixed(kind: pa.DataType, values: NDArray[np.generic]) -> pa.Array:
    return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])
