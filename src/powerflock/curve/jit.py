"""One typed door to numba: compiled once, cached on disk, releasing the GIL so that threads share the cores.

Where numba is missing, as it may be at the edge, the same functions run as plain Python over numpy arrays and give the
same bits. For that a kernel keeps to what both round alike: + − × ÷, comparisons, `min`, `max`, `abs` and loops; no
powers or logarithms (libraries differ in the last bit), no array sums (numpy adds in pairs), no division by zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

try:
    import numba
except ModuleNotFoundError:  # only where it is not installed: one that is broken should say so
    COMPILED = False
else:
    COMPILED = True
"""Whether kernels are compiled. Plain ones are some hundred times slower, which is enough for one home."""

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` with numba (nopython, cached, nogil); its Python signature stays what type checkers see."""
    if not COMPILED:
        return function
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """As `kernel`, laid into its callers when these are compiled: what they pass as a number is then a constant.

    Loops over a few storages or channels unroll, which halves their time; worth its longer compilation only there.
    """
    if not COMPILED:
        return function
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function))
