"""Bad clients over real WebSockets: each gets a clear error, and nobody else notices."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from picows import WSHandshakeError, WSListener, WSMsgType, ws_connect

from powerflock.domain.columns import ReadingRow
from powerflock.gateway.protocol import JSON, MSGPACK, Codec, Hello, Readings, Welcome
from powerflock.gateway.session import GatewayOptions
from powerflock.gateway.tokens import issue
from tests.integration.gateway_device import (
    SECRET,
    START_US,
    acked,
    connect,
    eventually,
    join,
    logged_batches,
    plant,
    readings,
)


@pytest.mark.parametrize("offered", ["powerflock.v2.json", "", None])
async def test_an_unknown_subprotocol_is_refused_with_those_we_speak(offered: str | None) -> None:
    headers = {} if offered is None else {"Sec-WebSocket-Protocol": offered}
    async with plant() as running:
        with pytest.raises(WSHandshakeError) as refused:
            await ws_connect(WSListener, f"ws://127.0.0.1:{running.port}/v1", extra_headers=headers)
        assert refused.value.response is not None
        assert refused.value.response.status == 400
        assert b"powerflock.v1.json, powerflock.v1.msgpack" in (refused.value.raw_body or b"")


async def test_the_first_subprotocol_that_both_speak_is_chosen() -> None:
    async with plant() as running:
        offered = {"Sec-WebSocket-Protocol": "powerflock.v2.json, powerflock.v1.msgpack, powerflock.v1.json"}
        transport, _ = await ws_connect(WSListener, f"ws://127.0.0.1:{running.port}/v1", extra_headers=offered)
        assert transport.response.headers["Sec-WebSocket-Protocol"] == "powerflock.v1.msgpack"
        transport.disconnect()


async def test_another_path_is_not_found() -> None:
    async with plant() as running:
        with pytest.raises(WSHandshakeError) as refused:
            await ws_connect(WSListener, f"ws://127.0.0.1:{running.port}/v2")
        assert refused.value.response is not None
        assert refused.value.response.status == 404


async def test_an_unsupported_version_is_named() -> None:
    async with plant() as running:
        device = await connect(running.port)
        device.send(Hello([99], "home-0", issue(SECRET, "home-0")))
        assert "[99]" in (await device.refused("unsupported_version", fatal=True)).message


@pytest.mark.parametrize(
    ("site", "token"),
    [
        ("home-0", "0" * 32),
        ("home-0", ""),
        ("home-0", "é" * 32),
        ("home-0", issue(SECRET, "home-1")),
        ("nobody", issue(SECRET, "nobody")),
        ("../etc", "0" * 32),
    ],
)
async def test_a_wrong_token_or_unknown_site_is_unauthorised_without_telling_which(site: str, token: str) -> None:
    async with plant() as running:
        device = await connect(running.port)
        device.send(Hello([1], site, token))
        assert "not enrolled, or the token" in (await device.refused("unauthorised", fatal=True)).message
        assert running.gateway.sessions == 0


async def test_readings_before_hello_are_refused() -> None:
    async with plant() as running:
        device = await connect(running.port)
        device.send(readings(1))
        await device.refused("hello_required", fatal=True)
        assert len(logged_batches(running.log)) == 0


async def test_a_socket_that_says_nothing_is_closed() -> None:
    async with plant(options=GatewayOptions(hello_timeout_s=0.05)) as running:
        device = await connect(running.port)
        await device.refused("hello_required", fatal=True)


async def test_a_client_that_answers_no_ping_is_dropped() -> None:
    async with plant(options=GatewayOptions(idle_timeout_s=0.05, pong_timeout_s=0.05)) as running:
        device = await join(running.port)
        device.transport.underlying_transport.pause_reading()
        await eventually(lambda: running.gateway.sessions == 0)
        device.transport.disconnect(graceful=False)


BAD_FRAMES = [
    b"",
    b"not json",
    b"[]",
    b'{"type":"readings"}',
    b'{"type":"reboot"}',
    b'{"type":"ack","batch":1,"credits":5}',
    b'{"type":"hello","versions":[1],"site":"home-0","token":"x"}',
    b'{"type":"readings","batch":1,"rows":[]}',
    b'{"type":"readings","batch":1,"rows":[{"device":"battery","seq":"7"}]}',
    b'{"type":"readings","batch":1,"rows":' + b"[" * 50_000,
    b'{"type":"command_ack","seq":1,"status":"eaten"}',
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_bad_frames_get_an_error_each_and_the_session_goes_on(codec: Codec) -> None:
    async with plant() as running:
        device = await join(running.port, codec=codec)
        for frame in BAD_FRAMES:
            device.send_raw(frame)
            await device.refused("bad_frame")
        device.send(readings(5))
        await acked(device, 5)


async def test_the_error_says_where_a_field_is_wrong() -> None:
    async with plant() as running:
        device = await join(running.port)
        good = msgspec.to_builtins(readings(1, [1, 2, 3]))
        good["rows"][2]["volts"] = 230
        device.send_raw(msgspec.json.encode(good))
        error = await device.refused("bad_frame")
        assert "volts" in error.message
        assert "$.rows[2]" in error.message


async def test_text_in_a_binary_session_is_refused() -> None:
    async with plant() as running:
        device = await join(running.port, codec=MSGPACK)
        device.transport.send(WSMsgType.TEXT, JSON.encode(readings(1)))
        assert "binary" in (await device.refused("bad_frame")).message


async def test_an_oversized_message_is_refused_and_the_session_goes_on() -> None:
    async with plant() as running:
        device = await join(running.port)
        device.send_raw(b" " * 65_537)
        assert "65537 bytes; the limit is 65536" in (await device.refused("too_large")).message
        device.send_raw(JSON.encode(readings(1)).ljust(65_536))
        await acked(device, 1)
        device.send_raw(b" " * 1_000_000)
        assert (await asyncio.wait_for(device.closed, 5)).value == 1009


async def test_fragments_are_joined_and_count_as_one_message() -> None:
    async with plant() as running:
        device = await join(running.port)
        frame = JSON.encode(readings(1))
        device.transport.send(WSMsgType.TEXT, frame[:10], fin=False)
        device.transport.send_ping()
        device.transport.send(WSMsgType.CONTINUATION, frame[10:20], fin=False)
        device.transport.send(WSMsgType.CONTINUATION, frame[20:])
        await acked(device, 1)
        device.transport.send(WSMsgType.TEXT, b" " * 40_000, fin=False)
        device.transport.send(WSMsgType.CONTINUATION, b" " * 40_000)
        await device.refused("too_large")


async def test_an_unknown_device_refuses_its_batch_and_names_the_rows() -> None:
    async with plant() as running:
        device = await join(running.port)
        rows = [*readings(0, [1]).rows, *readings(0, [2, 3], "wallbox").rows]
        device.send(Readings(8, rows))
        error = await device.refused("unknown_device")
        assert (error.batch, error.rows) == (8, [1, 2])
        assert "'wallbox'" in error.message
        assert "battery, meter" in error.message
        device.send(readings(9))
        await acked(device, 9)


async def test_an_invalid_reading_refuses_only_its_own_batch() -> None:
    async with plant(options=GatewayOptions(batch_ms=50)) as running:
        device, other = await join(running.port, "home-0"), await join(running.port, "home-2")
        bad = [ReadingRow("battery", seq, START_US, power, 1.0) for seq, power in ((1, 1.0), (2, 1e300), (3, 2e5))]
        device.send(readings(1))
        device.send(Readings(2, [*bad, ReadingRow("battery", 4, 1_767_225_600_000, 1.0, 1.0)]))
        device.send(readings(3, [5]))
        other.send(readings(1))
        error = await device.refused("invalid_reading")
        assert (error.batch, error.rows) == (2, [1, 2, 3])
        assert "row 3 (battery, seq 4): time_us is 1767225600000" in error.message
        await acked(device, 1)
        await acked(device, 3)
        await acked(other, 1)
        assert running.gateway.counts.readings_logged == 3


async def test_a_batch_over_all_credits_can_never_be_sent_and_says_so() -> None:
    async with plant(options=GatewayOptions(batch_ms=1, credits=3)) as running:
        device = await join(running.port)
        device.send(readings(1, range(1, 5)))
        assert "at most 3" in (await device.refused("over_credit")).message


async def test_a_newer_session_replaces_the_older_one() -> None:
    async with plant() as running:
        old, bystander = await join(running.port), await join(running.port, "home-1")
        new = await join(running.port)
        await old.refused("replaced", fatal=True)
        new.send(readings(1))
        await acked(new, 1)
        await bystander.silent()
        assert running.gateway.sessions == 2


async def test_a_flooding_client_is_closed_while_twenty_good_ones_are_all_served() -> None:
    async with plant() as running:
        good = [await join(running.port, f"home-{number}") for number in range(1, 21)]
        bad = await join(running.port, "home-0")

        async def flood() -> None:
            while not bad.closed.done():
                for _ in range(50):
                    bad.send_raw(b"x" * 60_000)
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        for batch in range(1, 6):
            for device in good:
                device.send(readings(batch, [2 * batch, 2 * batch + 1]))
            for device in good:
                await acked(device, batch)
        await asyncio.wait_for(flooding, 10)
        codes = []
        while not bad.inbox.empty():
            message = bad.inbox.get_nowait()
            assert not isinstance(message, Welcome)
            codes.append(getattr(message, "code", None))
        assert codes == ["bad_frame"] * 19 + ["too_many_errors"]
        assert running.gateway.counts.readings_logged == 200


async def test_a_client_that_vanishes_in_the_middle_of_a_batch_harms_nobody() -> None:
    async with plant() as running:
        gone, device = await join(running.port), await join(running.port, "home-1")
        gone.send(readings(1))
        gone.transport.disconnect(graceful=False)
        device.send(readings(1))
        await acked(device, 1)
        await eventually(lambda: running.gateway.sessions == 1)
