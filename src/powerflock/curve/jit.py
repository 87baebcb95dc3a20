"""One typed door to numba: compiled once, cached on disk, releasing the GIL so that threads share the cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` with numba (nopython, cached, nogil); its Python signature stays what type checkers see."""
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
