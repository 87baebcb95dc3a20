"""What every backend's membership promises; and what only a cluster's can: to share, and to take over."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.kafka_membership import KafkaGroups
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.membership import Changes, Groups, Member
from powerflock.log.open import open_groups
from tests.acceptance.processes import until
from tests.data import ROOT

PARTITIONS = 4
SESSION_S, LONG_S = 2.0, 36.0
EVERY = frozenset(range(PARTITIONS))
CHILD = """
import sys, time
from pathlib import Path
from tests.conformance.test_membership import LONG_S, Heard, kafka
member = kafka(Path(sys.argv[1]), sys.argv[2], LONG_S).join("twins", "telemetry", "a", "10.0.0.1:1", Heard())
while True:
    print(sorted(member.owned()), flush=True)
    time.sleep(0.05)
"""
"""A member that can be killed: it tells what it owns again and again."""


class Heard:
    """What a member was told, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, list[int]]] = []
        self.lock = threading.Lock()

    def tell(self, what: str, partitions: Sequence[int]) -> None:
        with self.lock:
            self.said.append((what, list(partitions)))

    def assigned(self, partitions: Sequence[int]) -> None:
        self.tell("assigned", partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.tell("revoked", partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.tell("lost", partitions)

    def all_of(self, what: str) -> list[int]:
        return sorted(number for said, partitions in self.said if said == what for number in partitions)


@pytest.fixture(autouse=True)
def _nobody_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that fails leaves its members, whose threads would keep the tests from ending."""
    joined: list[Member] = []
    join = KafkaGroups.join

    def noted(groups: KafkaGroups, group: str, topic: str, name: str, address: str, changes: Changes) -> Member:
        joined.append(join(groups, group, topic, name, address, changes))
        return joined[-1]

    monkeypatch.setattr(KafkaGroups, "join", noted)
    yield
    for member in joined:
        with suppress(Exception):
            member.close()


def kafka(folder: Path, servers: str, session_s: float = SESSION_S) -> Groups:
    prefix = f"test-{blake2b(str(folder).encode(), digest_size=6).hexdigest()}."
    options = KafkaOptions(servers=servers, prefix=prefix, partitions=PARTITIONS, session_s=session_s)
    return open_groups(f"kafka://{servers}", PARTITIONS, options)


BACKENDS: dict[str, Callable[[Path, pytest.FixtureRequest], Groups]] = {
    "sole": lambda _folder, _request: open_groups("memory:", PARTITIONS),
    "kafka": lambda folder, request: kafka(folder, request.getfixturevalue("kafka_servers")),
}


@pytest.fixture(params=BACKENDS)
def groups(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Groups]:
    made = BACKENDS[request.param](tmp_path, request)
    yield made
    made.close()


def test_one_member_owns_everything_and_others_learn_its_address(groups: Groups) -> None:
    heard = Heard()
    assert groups.owners("twins", "telemetry") == {}
    member = groups.join("twins", "telemetry", "twins-0", "10.0.0.7:9000", heard)
    until("the first assignment", lambda: member.owned() == EVERY, 30)
    assert heard.all_of("assigned") == sorted(EVERY)
    assert member.joined()
    until("the address", lambda: groups.owners("twins", "telemetry") == dict.fromkeys(EVERY, "10.0.0.7:9000"), 30)
    assert groups.owners("history", "telemetry") == {}
    member.close()
    member.close()
    assert heard.all_of("revoked") == sorted(EVERY), "what a member gives back it is told to finish with"
    assert member.owned() == frozenset()


def test_groups_do_not_mix(groups: Groups) -> None:
    twins = groups.join("twins", "telemetry", "a", "10.0.0.1:1", Heard())
    history = groups.join("history", "telemetry", "a", "10.0.0.2:2", Heard())
    until("both", lambda: twins.owned() == history.owned() == EVERY, 30)
    twins.close()
    assert history.owned() == EVERY
    history.close()


def test_a_log_of_one_process_refuses_a_second_member() -> None:
    groups = open_groups("memory:", PARTITIONS)
    first = groups.join("twins", "telemetry", "a", "10.0.0.1:1", Heard())
    with pytest.raises(InvalidInput, match="one process owns everything"):
        groups.join("twins", "telemetry", "b", "10.0.0.2:2", Heard())
    first.close()
    groups.join("twins", "telemetry", "b", "10.0.0.2:2", Heard()).close()


def test_members_of_a_cluster_share_and_take_over(tmp_path: Path, kafka_servers: str) -> None:
    groups = kafka(tmp_path, kafka_servers, session_s=48.0)  # one that leaves in order is not awaited so long
    heard = {name: Heard() for name in "ab"}
    first = groups.join("twins", "telemetry", "a", "10.0.0.1:1", heard["a"])
    until("the first assignment", lambda: first.owned() == EVERY, 30)
    second = groups.join("twins", "telemetry", "b", "10.0.0.2:2", heard["b"])
    until("a fair share", lambda: len(first.owned()) == len(second.owned()) == PARTITIONS // 2, 30)
    assert first.owned() | second.owned() == EVERY
    assert heard["a"].all_of("revoked") == sorted(second.owned()), "only what moves is interrupted"
    want = dict.fromkeys(first.owned(), "10.0.0.1:1") | dict.fromkeys(second.owned(), "10.0.0.2:2")
    until("the routes", lambda: groups.owners("twins", "telemetry") == want, 30)
    first.close()
    until("the takeover", lambda: second.owned() == EVERY, 30)
    assert heard["b"].all_of("lost") == []
    second.close()


def test_a_member_that_is_given_nothing_knows_it(tmp_path: Path, kafka_servers: str) -> None:
    groups = kafka(tmp_path, kafka_servers)
    members = [groups.join("twins", "telemetry", str(name), "10.0.0.1:1", Heard()) for name in range(PARTITIONS + 1)]
    until("everybody's answer", lambda: all(member.joined() for member in members), 30)
    until("every partition's owner", lambda: sum(len(member.owned()) for member in members) == PARTITIONS, 30)
    assert all(member.joined() for member in members)
    for member in members:
        member.close()


def test_a_member_that_dies_and_is_back_within_its_session_keeps_its_partitions(
    tmp_path: Path, kafka_servers: str
) -> None:
    """Whoever has no name of its own would have to wait until the group gives up the dead one."""
    groups, quiet = kafka(tmp_path, kafka_servers, LONG_S), Heard()
    second = groups.join("twins", "telemetry", "b", "10.0.0.2:2", quiet)
    command = [sys.executable, "-c", CHILD, str(tmp_path), kafka_servers]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        try:
            owned: list[int] = []
            assert first.stdout is not None
            for line in islice(first.stdout, 600):
                owned = json.loads(line)
                if len(owned) == len(second.owned()) == PARTITIONS // 2:
                    break
            else:
                pytest.fail("waited for a fair share")
            said = list(quiet.said)
        finally:
            first.kill()
    again = groups.join("twins", "telemetry", "a", "10.0.0.1:1", Heard())
    until("the same partitions", lambda: sorted(again.owned()) == owned, 20)
    assert quiet.said == said, "the other is not disturbed"
    again.close()
    second.close()


def test_a_member_that_takes_its_time_to_give_back_still_leaves_in_order(tmp_path: Path, kafka_servers: str) -> None:
    class Slow(Heard):
        def revoked(self, partitions: Sequence[int]) -> None:
            time.sleep(4.0)
            super().revoked(partitions)

    groups = kafka(tmp_path, kafka_servers, LONG_S)
    first = groups.join("twins", "telemetry", "a", "10.0.0.1:1", slow := Slow())
    until("the first assignment", lambda: first.owned() == EVERY, 30)
    first.close()
    assert slow.all_of("revoked") == sorted(EVERY)
    second = groups.join("twins", "telemetry", "b", "10.0.0.2:2", Heard())
    until("the takeover", lambda: second.owned() == EVERY, 20)
    second.close()


def test_of_two_processes_with_one_name_one_ends_and_says_why(tmp_path: Path, kafka_servers: str) -> None:
    groups, heard = kafka(tmp_path, kafka_servers), Heard()
    first = groups.join("twins", "telemetry", "a", "10.0.0.1:1", heard)
    until("the first assignment", lambda: first.owned() == EVERY, 30)
    second = groups.join("twins", "telemetry", "a", "10.0.0.1:1", Heard())
    with pytest.raises(LogError, match=r"If another process has this process\.name, give each a name of its own"):
        until("the end of the quarrel", lambda: first.owned() is second.owned() is None, 60)
    assert heard.all_of("lost"), "whoever was thrown out once joins again, as after a cut of its own"
    ended, left = (first, second) if is_over(first) else (second, first)
    until("one owner of everything", lambda: left.owned() == EVERY, 30)
    with pytest.raises(LogError, match="staying in twins as a"):
        ended.close()
    left.close()


def is_over(member: Member) -> bool:
    try:
        member.owned()
    except LogError:
        return True
    return False


def test_a_defect_in_a_member_is_not_silent(tmp_path: Path, kafka_servers: str) -> None:
    class Broken(Heard):
        def assigned(self, partitions: Sequence[int]) -> None:
            raise ZeroDivisionError

    member = kafka(tmp_path, kafka_servers).join("twins", "telemetry", "a", "10.0.0.1:1", Broken())
    with pytest.raises(ZeroDivisionError):
        until("the defect", lambda: member.owned() == EVERY, 30)
    with pytest.raises(ZeroDivisionError):
        member.close()
