"""Messages survive both codecs, garbage is refused with a reason, and the documented examples are real messages."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.columns import Issuer, ReadingRow
from powerflock.domain.errors import InvalidInput, ProtocolError
from powerflock.domain.outcomes import Status
from powerflock.domain.policy import Basis, Policy
from powerflock.gateway.packed import device_numbers, unpack
from powerflock.gateway.protocol import (
    CODECS,
    JSON,
    MSGPACK,
    Ack,
    ClientMessage,
    Code,
    Codec,
    Columns,
    Command,
    CommandAck,
    Error,
    Hello,
    PolicyFrame,
    Readings,
    ServerMessage,
    Welcome,
    choose_codec,
)
from tests.data import ROOT

CODEC_PAIR = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
FROM_CLIENT: list[ClientMessage] = [
    Hello([1, 2], "home-1", "ab", "agent"),
    Readings(-5, [ReadingRow("battery", 2**63 - 1, 0, None, -1.5, 0.0, None, 3.25)]),
    Columns(7, ["battery"], b"\0\0", b"\1" * 8, b"\2" * 8, b"\3" * 4, b"\4" * 8, capacity_kwh=b"\5" * 4),
    CommandAck(3, Status.EXPIRED, "too late"),
]
FROM_SERVER: list[ServerMessage] = [
    Welcome(1, "s", 5, 60.0, 512, 1_000_000),
    Ack(-5, 512),
    Command(1, -2.5, None, 10, 20, 3, Issuer.SAFETY),
    PolicyFrame(3, b"PFP\x01\x00\xff"),
    Error("bad_frame", "why", fatal=False),
    Error("invalid_reading", "why", fatal=False, batch=0, rows=[0, 2]),
]
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


@CODEC_PAIR
def test_messages_come_back_as_they_were_sent(codec: Codec) -> None:
    assert [codec.decode_client(codec.encode(message)) for message in FROM_CLIENT] == FROM_CLIENT
    assert [codec.decode_server(codec.encode(message)) for message in FROM_SERVER] == FROM_SERVER


@CODEC_PAIR
@settings(max_examples=300)
@given(
    noise=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.integers(0, 9),
)
def test_a_damaged_frame_is_a_message_or_a_protocol_error_and_nothing_else(
    codec: Codec, noise: list[tuple[int, int]], cut: int
) -> None:
    frame = bytearray(codec.encode(FROM_CLIENT[1]))
    for place, value in noise:
        frame[place % len(frame)] = value
    try:
        codec.decode_client(bytes(frame[: len(frame) - cut]))
    except ProtocolError as error:
        assert error.code == "bad_frame"  # noqa: PT017 - not being refused is fine too


@pytest.mark.parametrize("seq", [2**63, -(2**63) - 1, 1.5, True])
def test_numbers_that_fit_no_column_are_refused_where_they_stand(seq: float) -> None:
    row = {"device": "battery", "seq": seq, "time_us": 1, "power_kw": 1, "energy_kwh": 1}
    with pytest.raises(ProtocolError, match=r"\$\.rows\[0\]\.seq"):
        JSON.decode_client(msgspec.json.encode({"type": "readings", "batch": 1, "rows": [row]}))


def test_a_frame_over_the_limit_is_not_even_parsed() -> None:
    with pytest.raises(ProtocolError, match="has 65537 bytes") as refused:
        JSON.decode_client(b" " * 65_537)
    assert refused.value.code == "too_large"


def test_the_clients_first_known_subprotocol_wins() -> None:
    assert choose_codec("powerflock.v1.msgpack,powerflock.v1.json") is MSGPACK
    assert choose_codec(" chat , powerflock.v1.json ") is JSON
    with pytest.raises(InvalidInput, match=r"powerflock\.v1\.json, powerflock\.v1\.msgpack"):
        choose_codec("powerflock.v2.json")


def test_every_documented_example_is_a_message_and_every_message_has_an_example() -> None:
    seen = set()
    for example in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL):
        kind = msgspec.json.decode(example)["type"]
        if kind in {"hello", "readings", "columns", "command_ack"}:
            sent = JSON.decode_client(example.encode())
            assert MSGPACK.decode_client(MSGPACK.encode(sent)) == sent
        else:
            answer = JSON.decode_server(example.encode())
            assert MSGPACK.decode_server(MSGPACK.encode(answer)) == answer
        seen.add(kind)
    assert seen == {"hello", "readings", "columns", "command_ack", "welcome", "ack", "command", "policy", "error"}


def test_the_documented_columns_are_what_the_text_says() -> None:
    message = JSON.decode_client(re.findall(r'(\{"type": "columns".*\})', DOCUMENT)[0].encode())
    assert isinstance(message, Columns)
    records = unpack(message, device_numbers(message, {"battery": 5, "meter": 6}), 1)
    assert records["device"].tolist() == [5, 6]
    assert records["seq"].tolist() == [1002, 1002]
    np.testing.assert_array_equal(records["power_kw"], [-2.5, np.nan])
    np.testing.assert_array_equal(records["energy_kwh"], [6.1, 5120.25])


def test_the_documented_policy_is_one() -> None:
    frame = JSON.decode_server(re.findall(r'(\{"type": "policy".*\})', DOCUMENT)[0].encode())
    assert isinstance(frame, PolicyFrame)
    assert Policy.from_bytes(frame.policy).basis is Basis.OWNER


def test_every_error_code_and_subprotocol_is_documented() -> None:
    codes = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", DOCUMENT, re.MULTILINE))
    assert set(codes) == set(Code)
    fatal = {name for name, answer in codes.items() if answer == "yes"}
    assert fatal == {
        "hello_required",
        "unauthorised",
        "unsupported_version",
        "replaced",
        "log_unavailable",
        "too_many_errors",
    }
    assert all(f"`{name}`" in DOCUMENT for name in CODECS)
