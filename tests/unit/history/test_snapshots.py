"""The newest good snapshot is found even after a crash or damage."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from powerflock.domain.errors import DamagedSnapshot
from powerflock.history.snapshots import newest_good, write


def test_the_newest_is_found_and_two_are_kept(tmp_path: Path) -> None:
    for offset in (9, 10, 100):
        write(tmp_path / "deep", 0, offset, b"at %d" % offset)
    write(tmp_path / "deep", 1, 5, b"other partition")
    found = newest_good(tmp_path / "deep", 0, bytes.decode)
    assert (found.state, found.skipped) == ("at 100", ())
    assert len(list((tmp_path / "deep").glob("partition-00000-*"))) == 2
    assert newest_good(tmp_path / "deep", 1, bytes.decode).state == "other partition"


def test_nothing_there_is_nothing_found(tmp_path: Path) -> None:
    found = newest_good(tmp_path / "missing", 0, bytes.decode)
    assert (found.state, found.path, found.skipped) == (None, None, ())


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_one_is_skipped_with_its_reason(tmp_path: Path, damage: str) -> None:
    good = write(tmp_path, 0, 1, b"good" * 100)
    bad = write(tmp_path, 0, 2, b"newer" * 100)
    content = bad.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    bad.write_bytes({"cut": content[:-10], "flip": flipped, "empty": b"", "other": b"x" * 900}[damage])
    found = newest_good(tmp_path, 0, bytes.decode)
    assert (found.state, found.path) == ("good" * 100, good)
    assert found.skipped[0][0] == bad
    assert bad.name in found.skipped[0][1]


def test_one_that_the_decoder_refuses_is_skipped(tmp_path: Path) -> None:
    def decode(payload: bytes) -> bytes:
        if payload == b"new version":
            raise DamagedSnapshot("of another version")
        return payload

    write(tmp_path, 0, 1, b"old")
    write(tmp_path, 0, 2, b"new version")
    found = newest_good(tmp_path, 0, decode)
    assert found.state == b"old"
    assert found.skipped[0][1] == "of another version"


def test_what_an_interrupted_write_left_is_no_snapshot_and_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "partition-00000-00000000000000000007.tmp").write_bytes(b"half")
    assert newest_good(tmp_path, 0, bytes.decode).state is None
    write(tmp_path, 0, 8, b"whole")
    assert [path.suffix for path in tmp_path.iterdir()] == [".snapshot"]


CHILD = """
import sys
from pathlib import Path
from powerflock.history.snapshots import write
offset = int(sys.argv[2])
while True:
    offset += 1
    write(Path(sys.argv[1]), 0, offset, b"%d " % offset * 400_000)
    print(offset, flush=True)
"""


def whole(payload: bytes) -> int:
    """The offset that the payload repeats from its first byte to its last."""
    offset = int(payload.split(b" ", 1)[0])
    assert payload == b"%d " % offset * 400_000
    return offset


@pytest.mark.parametrize("seed", range(3))
def test_killed_in_the_middle_of_a_write_the_snapshot_before_it_is_whole(tmp_path: Path, seed: int) -> None:
    chance, last = random.Random(seed), 100
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(last)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        first = int(child.stdout.readline())
        timer = threading.Timer(chance.uniform(0.0, 0.03), child.send_signal, [signal.SIGKILL])
        timer.start()
        acknowledged = [first, *(int(line) for line in child.stdout if line.endswith(b"\n"))][-1]
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        timer.join()
        found = newest_good(tmp_path, 0, whole)
        assert found.state in {acknowledged, acknowledged + 1}, "what was acknowledged is there; half a file never"
        assert found.skipped == ()
        last = acknowledged + 1
