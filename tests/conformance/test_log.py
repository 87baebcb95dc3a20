"""What every log backend promises, run against each. A new backend needs one more entry in `BACKENDS`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Claim, Entry, Fenced, Log
from powerflock.log.sqlite import SqliteLog

BACKENDS: dict[str, Callable[[Path], Log]] = {
    "memory": lambda _folder: MemoryLog(),
    "sqlite": lambda folder: SqliteLog(folder / "log.sqlite"),
}
DURABLE = ["sqlite"]


@pytest.fixture(params=BACKENDS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.close()


def test_entries_of_a_partition_are_numbered_from_zero_and_read_in_order(log: Log) -> None:
    offsets = [log.append("telemetry", 3, b"%d" % number) for number in range(5)]
    assert offsets == [0, 1, 2, 3, 4]
    assert log.read("telemetry", 3, 1) == [Entry(number, b"%d" % number) for number in range(1, 5)]
    assert log.end("telemetry", 3) == 5


def test_partitions_and_topics_do_not_mix(log: Log) -> None:
    log.append("telemetry", 0, b"a")
    log.append("telemetry", 1, b"b")
    log.append("commands", 0, b"c")
    assert [
        log.read(topic, partition, 0) for topic, partition in (("telemetry", 0), ("telemetry", 1), ("commands", 0))
    ] == [
        [Entry(0, b"a")],
        [Entry(0, b"b")],
        [Entry(0, b"c")],
    ]


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"\xff" * 3_000_000])
def test_payloads_come_back_byte_for_byte(log: Log, payload: bytes) -> None:
    log.append("telemetry", 0, payload)
    (entry,) = log.read("telemetry", 0, 0)
    assert type(entry.payload) is bytes
    assert entry.payload == payload


def test_limit_bounds_what_is_read(log: Log) -> None:
    log.transact([("telemetry", 0, b"x")] * 10)
    assert [entry.offset for entry in log.read("telemetry", 0, 2, limit=3)] == [2, 3, 4]
    assert [entry.offset for entry in log.read("telemetry", 0, 8, limit=3)] == [8, 9]


def test_nothing_lies_beyond_the_end_or_in_a_topic_nobody_wrote(log: Log) -> None:
    log.append("telemetry", 0, b"x")
    assert log.read("telemetry", 0, 1) == []
    assert log.read("telemetry", 0, 10**12) == []
    assert log.read("nobody", 7, 0) == []
    assert log.end("nobody", 7) == 0
    assert log.committed("nobody", "telemetry", 0) == 0


def test_trimming_forgets_the_past_and_keeps_the_numbers(log: Log) -> None:
    for number in range(5):
        log.append("telemetry", 0, bytes([number]))
    log.trim("telemetry", 0, 3)
    assert log.read("telemetry", 0, 0) == [Entry(3, b"\x03"), Entry(4, b"\x04")]
    assert log.append("telemetry", 0, b"new") == 5
    log.trim("telemetry", 0, 99)
    assert log.read("telemetry", 0, 0) == [Entry(5, b"new")], "the newest entry stays, so numbers go on"
    assert log.end("telemetry", 0) == 6
    log.trim("nobody-wrote-this", 0, 7)
    assert log.end("nobody-wrote-this", 0) == 0


def test_impossible_places_are_refused(log: Log) -> None:
    with pytest.raises(InvalidInput, match="offset in telemetry/0 is -1"):
        log.read("telemetry", 0, -1)
    with pytest.raises(InvalidInput, match="limit"):
        log.read("telemetry", 0, 0, limit=0)
    with pytest.raises(InvalidInput, match="partition"):
        log.append("telemetry", -1, b"x")
    with pytest.raises(InvalidInput, match="topic"):
        log.append("", 0, b"x")
    with pytest.raises(InvalidInput, match="bytes"):
        log.append("telemetry", 0, "text")  # type: ignore[arg-type]
    assert log.end("telemetry", 0) == 0


def test_a_transaction_writes_all_its_entries_and_commits(log: Log) -> None:
    log.append("telemetry", 0, b"in")
    offsets = log.transact(
        [("commands", 0, b"a"), ("market", 0, b"b"), ("commands", 0, b"c")],
        [("twins", "telemetry", 0, 1), ("twins", "commands", 0, 2)],
    )
    assert offsets == [0, 0, 1]
    assert [entry.payload for entry in log.read("commands", 0, 0)] == [b"a", b"c"]
    assert log.committed("twins", "telemetry", 0) == 1
    assert log.committed("twins", "commands", 0) == 2
    assert log.transact([]) == []


def test_a_transaction_that_fails_in_the_middle_writes_nothing(log: Log) -> None:
    log.transact([("commands", 0, b"before")], [("twins", "commands", 0, 1)])
    with pytest.raises(InvalidInput, match="must not exceed the end, 2"):
        log.transact(
            [("commands", 0, b"a"), ("market", 0, b"b")],
            [("twins", "market", 0, 1), ("twins", "commands", 0, 9)],
        )
    with pytest.raises(InvalidInput, match="bytes"):
        log.transact([("commands", 0, b"a"), ("market", 0, None)])  # type: ignore[list-item]
    assert [entry.payload for entry in log.read("commands", 0, 0)] == [b"before"]
    assert log.end("market", 0) == 0
    assert log.committed("twins", "market", 0) == 0
    assert log.committed("twins", "commands", 0) == 1
    assert log.append("commands", 0, b"after") == 1


def test_commits_are_kept_per_group_and_may_go_back_for_a_replay(log: Log) -> None:
    log.transact([("telemetry", 0, b"x")] * 4, [("twins", "telemetry", 0, 4), ("history", "telemetry", 0, 2)])
    log.transact([], [("twins", "telemetry", 0, 1)])
    assert log.committed("twins", "telemetry", 0) == 1
    assert log.committed("history", "telemetry", 0) == 2


def test_a_newer_claim_fences_the_older_one(log: Log) -> None:
    first = log.claim("twins", "a")
    assert log.transact([("commands", 0, b"1")], claim=first) == [0]
    second = log.claim("twins", "b")
    assert second.epoch > first.epoch
    with pytest.raises(Fenced, match="'a' on 'twins'"):
        log.transact([("commands", 0, b"2")], [("twins", "commands", 0, 1)], claim=first)
    assert log.end("commands", 0) == 1
    assert log.committed("twins", "commands", 0) == 0
    assert log.transact([("commands", 0, b"3")], claim=second) == [1]


def test_claims_of_other_groups_and_invented_claims(log: Log) -> None:
    mine = log.claim("twins", "a")
    log.claim("history", "b")
    assert log.transact([("commands", 0, b"1")], claim=mine) == [0]
    with pytest.raises(Fenced):
        log.transact([("commands", 0, b"2")], claim=Claim("twins", "a", mine.epoch + 1))
    with pytest.raises(InvalidInput, match="group of a commit"):
        log.transact([], [("history", "commands", 0, 1)], claim=mine)


def test_threads_that_append_at_once_get_offsets_of_their_own(log: Log) -> None:
    threads, each = 8, 25
    seen: list[list[tuple[int, bytes]]] = [[] for _ in range(threads)]

    def work(me: int) -> None:
        for number in range(each):
            payload = b"%d:%d" % (me, number)
            seen[me].append((log.append("telemetry", 0, payload), payload))
            log.read("telemetry", 0, 0, limit=5)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stored = [(entry.offset, entry.payload) for entry in log.read("telemetry", 0, 0)]
    assert [offset for offset, _ in stored] == list(range(threads * each))
    assert sorted(pair for mine in seen for pair in mine) == stored
    assert all(mine == sorted(mine) for mine in seen)


def test_a_closed_log_says_so(log: Log) -> None:
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.append("telemetry", 0, b"x")
    with pytest.raises(LogError, match="closed"):
        log.read("telemetry", 0, 0)


@pytest.mark.parametrize("backend", DURABLE)
def test_entries_commits_and_claims_outlive_a_reopening(backend: str, tmp_path: Path) -> None:
    log = BACKENDS[backend](tmp_path)
    stale = log.claim("twins", "a")
    newest = log.claim("twins", "b")
    log.transact([("telemetry", 0, b"x"), ("telemetry", 0, b"y")], [("twins", "telemetry", 0, 1)], newest)
    log.close()
    again = BACKENDS[backend](tmp_path)
    assert again.read("telemetry", 0, 0) == [Entry(0, b"x"), Entry(1, b"y")]
    assert again.committed("twins", "telemetry", 0) == 1
    with pytest.raises(Fenced):
        again.transact([("telemetry", 0, b"z")], claim=stale)
    assert again.append("telemetry", 0, b"z") == 2
    assert again.claim("twins", "c").epoch > newest.epoch
    again.close()
