"""The fleet's own account of what it sent, for comparison with what a plant stored."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.sim.ledger import Ledger


def test_lines_are_whole_after_a_flush_and_a_second_process_appends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for number in (1, 2):
        with Ledger(path) as ledger:
            ledger.batch("sent", "home-1", number, 5, {"meter": 9})
            ledger.flush()
            assert len(path.read_bytes().splitlines()) == number
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [line["batch"] for line in lines] == [1, 2]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--ledger is '.*absent/l'; cannot be written: No such file"):
        Ledger(tmp_path / "absent" / "l")
