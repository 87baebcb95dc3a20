"""A fleet finds the plant's key, waits for it, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.sim.enrol import NotThere, read_key


def test_the_key_is_read_and_a_missing_one_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "enrol.key").write_text("abc\n")
    assert read_key(tmp_path / "enrol.key") == "abc"
    with pytest.raises(NotThere, match="does not exist yet"):
        read_key(tmp_path / "later.key")


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "binary", "no text")):
        with pytest.raises(InvalidInput, match=rf"--enrol-key-file is '{path}'; cannot be read: .*{why}"):
            read_key(path)
