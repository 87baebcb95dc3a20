"""What every log backend promises, run against each. A new backend needs one more entry in `BACKENDS`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.memory import MemoryLog
from powerflock.log.open import open_log
from powerflock.log.port import Claim, Entry, Fenced, Log
from powerflock.log.sqlite import SqliteLog


def kafka(folder: Path, servers: str) -> Log:
    """The topics of the folder's test on the shared broker."""
    prefix = f"test-{blake2b(str(folder).encode(), digest_size=6).hexdigest()}."
    return open_log(f"kafka://{servers}", KafkaOptions(servers=servers, prefix=prefix, partitions=8, patience_s=20.0))


BACKENDS: dict[str, Callable[[Path, pytest.FixtureRequest], Log]] = {
    "memory": lambda _folder, _request: MemoryLog(),
    "sqlite": lambda folder, _request: SqliteLog(folder / "log.sqlite"),
    "kafka": lambda folder, request: kafka(folder, request.getfixturevalue("kafka_servers")),
}
DURABLE = ["sqlite", "kafka"]


@pytest.fixture(params=BACKENDS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    made = BACKENDS[request.param](tmp_path, request)
    yield made
    made.close()


def ascending(offsets: Sequence[int]) -> bool:
    return list(offsets) == sorted(set(offsets))


def payloads(log: Log, topic: str, partition: int = 0) -> list[bytes]:
    return [entry.payload for entry in log.read(topic, partition, 0)]


def test_entries_of_a_partition_ascend_and_are_read_in_order(log: Log) -> None:
    offsets = [log.append("telemetry", 3, b"%d" % number) for number in range(5)]
    assert ascending(offsets)
    assert log.read("telemetry", 3, offsets[1]) == [Entry(offsets[number], b"%d" % number) for number in range(1, 5)]
    assert log.read("telemetry", 3, offsets[1] + 1) == log.read("telemetry", 3, offsets[2])
    assert log.end("telemetry", 3) > offsets[-1]


def test_many_entries_are_appended_at_once(log: Log) -> None:
    entries = [("telemetry", number % 3, b"%d" % number) for number in range(9)]
    offsets = log.append_many(entries)
    for partition in range(3):
        mine = [Entry(offsets[number], b"%d" % number) for number in range(partition, 9, 3)]
        assert log.read("telemetry", partition, 0) == mine
    assert log.append_many([]) == []
    with pytest.raises(InvalidInput, match="bytes"):
        log.append_many([("telemetry", 0, b"x"), ("telemetry", 0, "text")])  # type: ignore[list-item]
    assert log.end("telemetry", 0) == offsets[6] + 1


def test_partitions_and_topics_do_not_mix(log: Log) -> None:
    log.append("telemetry", 0, b"a")
    log.append("telemetry", 1, b"b")
    log.append("commands", 0, b"c")
    places = ("telemetry", 0), ("telemetry", 1), ("commands", 0)
    assert [payloads(log, topic, partition) for topic, partition in places] == [[b"a"], [b"b"], [b"c"]]


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"\xff" * 3_000_000])
def test_payloads_come_back_byte_for_byte(log: Log, payload: bytes) -> None:
    log.append("telemetry", 0, payload)
    (entry,) = log.read("telemetry", 0, 0)
    assert type(entry.payload) is bytes
    assert entry.payload == payload


def test_limit_bounds_what_is_read(log: Log) -> None:
    offsets = log.transact([("telemetry", 0, b"x")] * 10)
    assert [entry.offset for entry in log.read("telemetry", 0, offsets[2], limit=3)] == offsets[2:5]
    assert [entry.offset for entry in log.read("telemetry", 0, offsets[5], limit=2)] == offsets[5:7]
    assert [entry.offset for entry in log.read("telemetry", 0, offsets[8], limit=3)] == offsets[8:]


def test_the_newest_entries_are_found_without_reading_the_rest(log: Log) -> None:
    assert log.newest("telemetry", 0) == []
    for number in range(7):
        log.transact([("telemetry", 0, b"%d" % number), ("market", 0, b"other")])
    assert [entry.payload for entry in log.newest("telemetry", 0)] == [b"6"]
    assert [entry.payload for entry in log.newest("telemetry", 0, 3)] == [b"4", b"5", b"6"]
    assert len(log.newest("telemetry", 0, 100)) == 7
    with pytest.raises(InvalidInput, match="limit"):
        log.newest("telemetry", 0, 0)


def test_nothing_lies_beyond_the_end_or_in_a_topic_nobody_wrote(log: Log) -> None:
    log.append("telemetry", 0, b"x")
    assert log.read("telemetry", 0, log.end("telemetry", 0)) == []
    assert log.read("telemetry", 0, 10**12) == []
    assert log.read("nobody", 7, 0) == []
    assert log.end("nobody", 7) == 0
    assert log.committed("nobody", "telemetry", 0) == 0


def test_trimming_forgets_the_past_and_keeps_the_numbers(log: Log) -> None:
    offsets = [log.transact([("telemetry", 0, bytes([number]))])[0] for number in range(5)]
    log.trim("telemetry", 0, offsets[3])
    assert log.read("telemetry", 0, 0) == [Entry(offsets[3], b"\x03"), Entry(offsets[4], b"\x04")]
    new, _ = log.transact([("telemetry", 0, b"new"), ("market", 0, b"other")])
    assert new > offsets[-1]
    log.trim("telemetry", 0, 99)
    assert log.read("telemetry", 0, 0) == [Entry(new, b"new")], "the newest entry stays, so numbers go on"
    assert log.end("telemetry", 0) > new
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
    assert offsets[0] < offsets[2]
    assert log.read("commands", 0, 0) == [Entry(offsets[0], b"a"), Entry(offsets[2], b"c")]
    assert payloads(log, "market") == [b"b"]
    assert log.committed("twins", "telemetry", 0) == 1
    assert log.committed("twins", "commands", 0) == 2
    assert log.transact([]) == []


def test_a_transaction_that_fails_in_the_middle_writes_nothing(log: Log) -> None:
    log.transact([("commands", 0, b"before")], [("twins", "commands", 0, 1)])
    end = log.end("commands", 0)
    with pytest.raises(InvalidInput, match=f"must not exceed the end, {end + 1}"):
        log.transact(
            [("commands", 0, b"a"), ("market", 0, b"b")],
            [("twins", "market", 0, 1), ("twins", "commands", 0, end + 8)],
        )
    with pytest.raises(InvalidInput, match="bytes"):
        log.transact([("commands", 0, b"a"), ("market", 0, None)])  # type: ignore[list-item]
    assert payloads(log, "commands") == [b"before"]
    assert log.end("market", 0) == 0
    assert log.committed("twins", "market", 0) == 0
    assert log.committed("twins", "commands", 0) == 1
    assert log.append("commands", 0, b"after") == end


def test_commits_are_kept_per_group_and_may_go_back_for_a_replay(log: Log) -> None:
    log.transact([("telemetry", 0, b"x")] * 4, [("twins", "telemetry", 0, 4), ("history", "telemetry", 0, 2)])
    log.transact([], [("twins", "telemetry", 0, 1)])
    assert log.committed("twins", "telemetry", 0) == 1
    assert log.committed("history", "telemetry", 0) == 2


def test_a_newer_claim_fences_the_older_one(log: Log) -> None:
    first = log.claim("twins", "a")
    log.transact([("commands", 0, b"1")], claim=first)
    end = log.end("commands", 0)
    second = log.claim("twins", "b")
    assert second.epoch > first.epoch
    with pytest.raises(Fenced, match="'a' on 'twins'"):
        log.transact([("commands", 0, b"2")], [("twins", "commands", 0, 1)], claim=first)
    with pytest.raises(Fenced, match="'a' on 'twins'"):
        log.transact([], claim=first)
    assert log.end("commands", 0) == end
    assert log.committed("twins", "commands", 0) == 0
    assert log.transact([("commands", 0, b"3")], claim=second) == [end]
    assert payloads(log, "commands") == [b"1", b"3"]


def test_claims_of_other_groups_and_invented_claims(log: Log) -> None:
    mine = log.claim("twins", "a")
    log.claim("history", "b")
    log.transact([("commands", 0, b"1")], claim=mine)
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
    assert len(stored) == threads * each
    assert ascending([offset for offset, _ in stored])
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
def test_entries_commits_and_claims_outlive_a_reopening(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    log = BACKENDS[backend](tmp_path, request)
    stale = log.claim("twins", "a")
    newest = log.claim("twins", "b")
    log.transact([("telemetry", 0, b"x"), ("telemetry", 0, b"y")], [("twins", "telemetry", 0, 1)], newest)
    log.close()
    again = BACKENDS[backend](tmp_path, request)
    assert payloads(again, "telemetry") == [b"x", b"y"]
    assert again.committed("twins", "telemetry", 0) == 1
    with pytest.raises(Fenced):
        again.transact([("telemetry", 0, b"z")], claim=stale)
    assert again.append("telemetry", 0, b"z") > again.read("telemetry", 0, 0)[1].offset
    assert again.claim("twins", "c").epoch > newest.epoch
    again.close()


@pytest.mark.parametrize("backend", DURABLE)
def test_a_claim_of_one_process_fences_that_of_another(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    one, other = BACKENDS[backend](tmp_path, request), BACKENDS[backend](tmp_path, request)
    older = one.claim("twins", "a")
    one.transact([("telemetry", 0, b"x")], claim=older)
    newer = other.claim("twins", "b")
    with pytest.raises(Fenced, match=f"the newest is {newer.epoch}"):
        one.transact([("telemetry", 0, b"y")], claim=older)
    other.transact([("telemetry", 0, b"z")], claim=newer)
    assert payloads(one, "telemetry") == payloads(other, "telemetry") == [b"x", b"z"]
    one.close()
    other.close()
