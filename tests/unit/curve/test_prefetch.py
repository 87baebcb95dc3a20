"""A hint changes nothing but when memory is fetched."""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.curve.prefetch import prefetch
from powerflock.domain.arrays import F64, I64, Records

PAIR = np.dtype([("key", "<i8"), ("value", "<f8")])


@kernel
def summed(rows: I64, matrix: F64, records: Records) -> float:
    total = 0.0
    for row in rows:
        prefetch(matrix, row + 8, 1)  # beyond the end, at last
        prefetch(records, row + 8)
        total += matrix[row, 1] + records[row]["value"]
    return total


def test_rows_are_summed_alike_with_hints_and_uncompiled_without_them() -> None:
    rows, matrix, records = np.array([3, 0, 2, 1]), np.arange(8.0).reshape(4, 2), np.zeros(4, PAIR)
    records["value"] = 1.0, 2.0, 3.0, 4.0
    assert summed(rows, matrix, records) == matrix[:, 1].sum() + 10.0
    assert summed.py_func(rows, matrix, records) == matrix[:, 1].sum() + 10.0  # type: ignore[attr-defined]
