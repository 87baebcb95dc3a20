"""The newest good snapshot is found even after a crash, damage or a second owner: in a folder and in a bucket."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from powerflock.domain.errors import DamagedSnapshot
from powerflock.history.blobs import Blobs, FolderBlobs
from powerflock.history.snapshots import newest_good, write
from powerflock.history.storage import Storage
from tests import s3


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(tmp_path / "deep")
    server: s3.Server = request.getfixturevalue("s3_server")
    return server.storage()


@pytest.fixture
def blobs(storage: Storage) -> Blobs:
    return storage.blobs("snapshots")


def names(blobs: Blobs) -> list[str]:
    return sorted(blobs.names("partition-"))


def test_the_newest_is_found_and_two_are_kept(blobs: Blobs) -> None:
    for offset in (9, 10, 100):
        write(blobs, 0, 1, offset, b"at %d" % offset)
    write(blobs, 1, 1, 5, b"other partition")
    found = newest_good(blobs, 0, bytes.decode)
    assert (found.state, found.skipped) == ("at 100", ())
    assert [name[:16] for name in names(blobs)] == ["partition-00000-", "partition-00000-", "partition-00001-"]
    assert newest_good(blobs, 1, bytes.decode).state == "other partition"


def test_nothing_there_is_nothing_found(blobs: Blobs) -> None:
    found = newest_good(blobs, 0, bytes.decode)
    assert (found.state, found.name, found.skipped) == (None, None, ())
    blobs.remove("partition-00000-gone")


def test_large_ones_come_back_byte_for_byte(blobs: Blobs) -> None:
    payload = bytes(range(256)) * 50_000
    write(blobs, 0, 1, 1, payload)
    assert newest_good(blobs, 0, bytes).state == payload


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_one_is_skipped_with_its_reason(blobs: Blobs, damage: str) -> None:
    good = write(blobs, 0, 1, 1, b"good" * 100)
    bad = write(blobs, 0, 1, 2, b"newer" * 100)
    content = blobs.get(bad)
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    blobs.put(bad, {"cut": content[:-10], "flip": flipped, "empty": b"", "other": b"x" * 900}[damage])
    found = newest_good(blobs, 0, bytes.decode)
    assert (found.state, found.name) == ("good" * 100, good)
    assert found.skipped[0][0] == bad
    assert bad in found.skipped[0][1]


def test_one_that_the_decoder_refuses_is_skipped(blobs: Blobs) -> None:
    def decode(payload: bytes) -> bytes:
        if payload == b"new version":
            raise DamagedSnapshot("of another version")
        return payload

    write(blobs, 0, 1, 1, b"old")
    write(blobs, 0, 1, 2, b"new version")
    found = newest_good(blobs, 0, decode)
    assert found.state == b"old"
    assert found.skipped[0][1] == "of another version"


def test_an_owner_that_was_replaced_neither_overwrites_nor_outranks_its_successor(blobs: Blobs) -> None:
    write(blobs, 0, 1, 50, b"old owner")
    write(blobs, 0, 2, 60, b"new owner")
    write(blobs, 0, 1, 60, b"old owner, late, at the same place")
    write(blobs, 0, 1, 99, b"old owner, late, further on")
    assert newest_good(blobs, 0, bytes).state == b"new owner"
    write(blobs, 0, 2, 70, b"new owner again")
    write(blobs, 0, 1, 120, b"old owner, very late")
    assert newest_good(blobs, 0, bytes).state == b"new owner again"
    assert len(names(blobs)) == 2, "what the old owner wrote is not kept in the place of the successor's spare"


def test_snapshots_of_before_epochs_are_read_and_are_older_than_any_with_one(blobs: Blobs) -> None:
    made = write(blobs, 0, 1, 7, b"plain")
    blobs.put("partition-00000-00000000000000000900.snapshot", blobs.get(made))
    blobs.remove(made)
    assert newest_good(blobs, 0, bytes).state == b"plain"
    write(blobs, 0, 1, 8, b"with an epoch")
    assert newest_good(blobs, 0, bytes).state == b"with an epoch"


CHILD = """
import sys
from pathlib import Path
from powerflock.history.snapshots import write
from powerflock.history.storage import Storage
folder, url, endpoint, access, secret = sys.argv[1:]
storage = Storage(Path(folder), url, endpoint, "us-east-1", access, secret, allow_http=True)
blobs = storage.blobs("snapshots")
offset = 0
while True:
    offset += 1
    print(offset, flush=True)
    write(blobs, 0, 1, offset, b"%d " % offset * 400_000)
"""


def test_killed_while_writing_the_newest_whole_one_is_still_found(storage: Storage, blobs: Blobs) -> None:
    arguments = [str(storage.folder), storage.url, storage.endpoint, storage.access_key, storage.secret_key]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    begun = 0
    while begun < 4:
        begun = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    begun = int([str(begun), *child.stdout.read().split()][-1])
    child.stdout.close()
    found = newest_good(blobs, 0, bytes)
    assert found.skipped == ()
    assert found.state is not None
    offset = int(found.state.split(b" ", 1)[0])
    assert offset in {begun - 1, begun}
    assert found.state == b"%d " % offset * 400_000


def test_what_an_interrupted_write_left_is_no_snapshot_and_is_cleared_by_no_older_owner(tmp_path: Path) -> None:
    left = tmp_path / "partition-00000-e0000000002-00000000000000000007.snapshot.tmp"
    left.write_bytes(b"half")
    blobs = FolderBlobs(tmp_path)
    assert newest_good(blobs, 0, bytes.decode).state is None
    write(blobs, 0, 1, 8, b"whole, of an older owner")
    assert left.exists(), "its successor may be writing just now"
    write(blobs, 0, 2, 8, b"whole")
    assert not left.exists()
