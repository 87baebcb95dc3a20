"""Without numba, as at the edge, everything gives the same answers: not nearly, but to the last bit."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from powerflock.curve.jit import COMPILED
from tests.data import ROOT
from tests.unit.curve.everything import MODULES, results

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from powerflock.curve.jit import COMPILED
from tests.unit.curve.everything import results
assert not COMPILED
assert not any(name.startswith(("numba.", "llvmlite")) for name in sys.modules)
np.savez(sys.argv[1], **results(1))
"""


def assert_same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    assert [name for name in found if found[name].tobytes() != expected[name].tobytes()] == []


def test_plans_and_curves_are_the_same_where_numba_is_missing(tmp_path: Path) -> None:
    assert COMPILED
    target = tmp_path / "plain.npz"
    command = [sys.executable, "-c", WITHOUT_NUMBA, str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(target) as plain:
        assert_same_bits(dict(plain), results(1))


@pytest.mark.parametrize("seed", range(2, 8))
def test_every_kernel_is_run_and_gives_the_same_bits_uncompiled(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = results(seed)
    run = set()

    def plainly(name: str, kernel: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(kernel)
        def call(*columns: object) -> object:
            run.add(name)
            return kernel(*columns)

        return call

    kernels = set()
    for module in MODULES:
        for name, item in list(vars(module).items()):
            if hasattr(item, "py_func"):
                kernels.add(f"{item.py_func.__module__}.{name}")
                monkeypatch.setattr(module, name, plainly(f"{item.py_func.__module__}.{name}", item.py_func))
    assert_same_bits(results(seed), compiled)
    assert run == kernels
    assert len(kernels) > 15
