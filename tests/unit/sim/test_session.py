"""One home's session: credits are kept, and what is unacknowledged is sent again, oldest first, unchanged."""

from __future__ import annotations

import msgspec
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.sim.session import Batch, Home
from powerflock.sim.wire import Ack, Command, Error, Policy, Received, Welcome, codec


class Wire:
    """A transport and frame in one: what was sent, and what is being received."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, _: object, frame: bytes) -> None:
        self.sent.append(frame)

    def disconnect(self) -> None:
        self.closed = True


class Frame:
    def __init__(self, home: Home, message: Received | bytes) -> None:
        self.msg_type = home._kind
        self._payload = message if isinstance(message, bytes) else msgspec.json.encode(message)

    def get_payload_as_bytes(self) -> bytes:
        return self._payload


class Told:
    """What a session tells its fleet."""

    def __init__(self) -> None:
        self.settlements: list[tuple[int, str]] = []
        self.errors: list[str] = []
        self.commands: list[int] = []
        self.policies: list[bytes] = []

    def welcomed(self, welcome: Welcome) -> None:
        assert welcome.speed == 60.0

    def commanded(self, row: int, command: Command) -> None:
        self.commands.append(command.seq)

    def handed(self, row: int, policy: Policy) -> None:
        self.policies.append(policy.policy)

    def settled(self, row: int, batch: Batch, kind: str) -> None:
        self.settlements.append((batch.number, kind))

    def complained(self, row: int, error: Error) -> None:
        self.errors.append(error.code)


def home() -> tuple[Home, Told]:
    told = Told()
    return Home(0, "home-1", codec("json"), told, "test"), told


def batch(number: int, rows: int = 3) -> Batch:
    return Batch(number, rows, 0, {}, b"batch %d" % number)


def connect(one: Home, allowed: int = 6) -> Wire:
    wire = Wire()
    one.on_ws_connected(wire)  # type: ignore[arg-type]
    receive(one, wire, Welcome(1, "s", 0, 60.0, allowed, 1_000_000, 65536))
    assert msgspec.json.decode(wire.sent.pop(0)) == {
        "type": "hello", "versions": [2, 1], "site": "home-1", "token": "", "agent": "test",
    }  # fmt: skip
    return wire


def receive(one: Home, wire: Wire, message: Received | bytes) -> None:
    one.on_ws_frame(wire, Frame(one, message))  # type: ignore[arg-type]


def test_never_more_in_flight_than_the_credits_allow() -> None:
    one, told = home()
    wire = connect(one, allowed=6)
    for number in (1, 2, 3):
        one.put(batch(number))
    assert wire.sent == [b"batch 1", b"batch 2"]
    receive(one, wire, Ack(1, 6))
    assert wire.sent[2:] == [b"batch 3"]
    assert told.settlements == [(1, "sent"), (2, "sent"), (1, "acked"), (3, "sent")]


def test_after_a_reconnect_the_same_frames_go_again_oldest_first() -> None:
    one, told = home()
    wire = connect(one)
    one.put(batch(1))
    one.put(batch(2))
    receive(one, wire, Ack(1, 6))
    one.on_ws_disconnected(wire)  # type: ignore[arg-type]
    one.put(batch(3))
    again = connect(one)
    assert again.sent == [b"batch 2", b"batch 3"]
    assert told.settlements.count((2, "sent")) == 1, "the ledger counts a batch once"


def test_a_batch_whose_content_is_refused_leaves_and_the_others_go_on() -> None:
    one, told = home()
    wire = connect(one)
    for number in (1, 2, 3):
        one.put(batch(number))
    receive(one, wire, Error("invalid_reading", "row 0", batch=1))
    assert told.errors == ["invalid_reading"]
    assert (1, "refused") in told.settlements
    assert wire.sent[-1] == b"batch 3"
    assert not wire.closed


@pytest.mark.parametrize(
    "error", [Error("over_credit", "too many", batch=1), Error("log_unavailable", "x", fatal=True)]
)
def test_errors_that_leave_the_reading_good_start_a_new_session_and_keep_it(error: Error) -> None:
    one, _ = home()
    wire = connect(one)
    one.put(batch(1))
    receive(one, wire, error)
    assert wire.closed
    assert [waiting.number for waiting in one.spool] == [1]


def test_what_is_not_understood_ends_the_session_with_a_reason() -> None:
    one, told = home()
    wire = connect(one)
    receive(one, wire, b"{")
    assert wire.closed
    assert told.errors == ["not_understood"]


def test_fields_of_later_versions_are_passed_over() -> None:
    one, told = home()
    wire = connect(one)
    one.put(batch(1))
    receive(one, wire, b'{"type": "ack", "batch": 1, "credits": 6, "new": true}')
    assert told.settlements[-1] == (1, "acked")


def test_a_policy_reaches_the_home_as_it_was_made() -> None:
    one, told = home()
    wire = connect(one)
    receive(one, wire, Policy(3, b"PFP\x01\x00"))
    assert told.policies == [b"PFP\x01\x00"]
    assert not wire.closed


def test_an_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="must be one of json, msgpack"):
        codec("xml")
