"""A hint to the processor that a row will be read soon: for kernels whose rows come in no order.

Invariants: it changes no result, only when memory is fetched. A processor fetches by itself what comes in order; for
the rest it looks some two hundred instructions ahead, while a kernel may know its rows long before. Where numba is
missing it does nothing. Must not know what the rows are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from powerflock.curve.jit import COMPILED

LINE_BYTES = 64
"""How much memory is fetched at once."""


def prefetch(array: NDArray[np.generic], row: int, column: int = 0) -> None:
    """Begin to fetch the lines of memory that hold the record `array[row]`, or the number `array[row, column]`."""


if COMPILED:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    _BYTES, _FLAG = ir.IntType(8).as_pointer(), ir.IntType(32)
    _HINT = ir.FunctionType(ir.VoidType(), (_BYTES, _FLAG, _FLAG, _FLAG))
    _READ, _KEEP, _DATA = _FLAG(0), _FLAG(3), _FLAG(1)
    _NUMBER_BYTES = 8

    @intrinsic
    def _hint(_typing, array, row, column):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - numba's own types
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            of, (values, *index) = signature.args[0], arguments
            columns = context.make_array(of)(context, builder, values)
            at = cgutils.get_item_pointer(context, builder, of, columns, index[: of.ndim], wraparound=False)
            size = context.get_abi_sizeof(context.get_data_type(of.dtype))
            hint = cgutils.get_or_insert_function(builder.module, _HINT, "llvm.prefetch.p0")
            for offset in (0, size - 1) if size > _NUMBER_BYTES else (0,):  # a record may lie across two lines
                line = builder.gep(builder.bitcast(at, _BYTES), (_FLAG(offset),))
                builder.call(hint, (line, _READ, _KEEP, _DATA))
            return context.get_dummy_value()

        return types.void(array, row, column), generate

    @overload(prefetch, strict=False)
    def _prefetch(array, row, column=0):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202, ARG001
        return lambda array, row, column=0: _hint(array, np.int64(row), np.int64(column))  # type: ignore[call-arg]
