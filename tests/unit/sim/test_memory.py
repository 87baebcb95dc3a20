"""Simulated homes go on where they stood when their process is started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.sim.fleet import SimFleet
from powerflock.sim.homes import generate
from powerflock.sim.memory import recall, remember, resume

START_US = 1_767_225_600_000_000


def fleet(homes: int = 3, seed: int = 1) -> SimFleet:
    made = generate(homes, seed, 1, START_US)
    return SimFleet(made.specs, made.profiles, START_US, seed)


def test_batteries_and_registers_go_on(tmp_path: Path) -> None:
    lived, file = fleet(), tmp_path / "homes.npz"
    lived.step(START_US, 3_600_000_000)
    lived.seq += 7
    remember(file, lived)
    memory, again = recall(file), fleet()
    assert memory is not None
    resume(memory, again)
    np.testing.assert_array_equal(again.stored_kwh, lived.stored_kwh)
    np.testing.assert_array_equal(again.device_energy_kwh(), lived.device_energy_kwh())
    np.testing.assert_array_equal(again.seq, lived.seq)


def test_other_homes_start_anew(tmp_path: Path) -> None:
    file, others = tmp_path / "homes.npz", fleet(homes=4)
    lived = fleet()
    lived.step(START_US, 3_600_000_000)
    remember(file, lived)
    memory = recall(file)
    assert memory is not None
    resume(memory, others)
    assert not others.import_kwh.any()


def test_an_absent_file_is_no_memory_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "homes.npz"
    assert recall(file) is None
    for damaged in (b"", b"PK\x03\x04 cut short", b"text"):
        file.write_bytes(damaged)
        with pytest.raises(InvalidInput, match=r"homes\.npz.*Remove it"):
            recall(file)
