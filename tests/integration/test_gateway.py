"""Devices over real WebSockets: readings are acknowledged when they are in the log, and not before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.arrays import Records
from powerflock.domain.columns import COMMAND, TELEMETRY, Issuer, ReadingRow, SiteEventKind
from powerflock.domain.outcomes import Status
from powerflock.gateway.protocol import (
    JSON,
    MSGPACK,
    Ack,
    Codec,
    Command,
    CommandAck,
    Hello,
    PolicyFrame,
    Readings,
    Welcome,
)
from powerflock.gateway.session import GatewayOptions
from powerflock.gateway.tokens import issue
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Log
from powerflock.log.sqlite import SqliteLog
from tests.integration.gateway_device import (
    SECRET,
    START_US,
    Device,
    HeldLog,
    acked,
    columns,
    connect,
    eventually,
    join,
    logged_batches,
    logged_events,
    plant,
    readings,
)


def logged(log: Log, partition: int) -> Records:
    """All readings in the log's partition."""
    return np.concatenate([np.empty(0, TELEMETRY), *logged_batches(log, partition)])


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_a_session_is_welcomed_and_its_readings_reach_the_log_exactly(codec: Codec, tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    async with plant(log) as running:
        device = await connect(running.port, codec)
        device.send(Hello([9, 1], "home-3", issue(SECRET, "home-3"), "test"))
        welcome = await device.expect(Welcome)
        assert (welcome.version, welcome.time_us, welcome.speed, welcome.credits) == (1, START_US, 60.0, 512)
        rows = [
            ReadingRow("battery", 7, START_US, -1.25, 4.5, 3.0, 2.5, 9.75),
            ReadingRow("meter", 8, START_US + 1, None, None),
        ]
        device.send(Readings(41, rows))
        assert await device.expect(Ack) == Ack(41, 512)
        stored = logged(log, 1)
        assert stored["device"].tolist() == [2, 3]
        assert stored[["seq", "time_us", "received_us"]].tolist() == [
            (7, START_US, START_US),
            (8, START_US + 1, START_US),
        ]
        assert stored[0]["power_kw"] == -1.25
        assert stored[0]["capacity_kwh"] == 9.75
        assert np.isnan(stored[1][["power_kw", "energy_kwh", "charge_limit_kw"]].tolist()).all()
        assert running.gateway.counts.readings_logged == 2
    log.close()


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_columns_reach_the_log_as_their_rows_would(codec: Codec) -> None:
    log = MemoryLog()
    async with plant(log) as running:
        device = await connect(running.port, codec)
        device.send(Hello([1, 2, 3], "home-3", issue(SECRET, "home-3"), "test"))
        assert (await device.expect(Welcome)).version == 3
        rows = [ReadingRow("meter", seq, START_US + seq, None, 0.1 * seq) for seq in range(20)]
        rows[3] = ReadingRow("battery", 9, START_US, -1.25, 4.5, 3.0, None, 9.75)
        device.send(Readings(1, rows))
        device.send(columns(2, rows))
        assert [await device.expect(Ack), await device.expect(Ack)] == [Ack(1, 512), Ack(2, 512)]
        stored = logged(log, 1)
        assert stored[:20].tobytes() == stored[20:].tobytes()


async def test_no_ack_before_the_log_has_the_readings() -> None:
    log = HeldLog()
    async with plant(log) as running:
        device = await join(running.port)
        log.gate.clear()
        device.send(readings(1))
        await device.silent()
        assert len(logged_batches(log)) == 0
        log.gate.set()
        await acked(device, 1)
        assert len(logged_batches(log)) == 1


async def test_while_the_log_is_slow_credits_stop_the_flow_and_nothing_is_lost() -> None:
    log = HeldLog()
    async with plant(log, GatewayOptions(batch_ms=1, credits=4)) as running:
        device = await join(running.port)
        log.gate.clear()
        device.send(readings(1, [1, 2, 3]))
        device.send(readings(2, [4]))
        device.send(readings(3, [5]))
        error = await device.refused("over_credit")
        assert error.batch == 3
        log.gate.set()
        await acked(device, 1)
        await acked(device, 2)
        device.send(readings(3, [5]))
        await acked(device, 3)
        assert logged(log, 0)["seq"].tolist() == [1, 2, 3, 4, 5]


async def test_many_sessions_share_few_log_entries() -> None:
    log = MemoryLog()
    async with plant(log, GatewayOptions(batch_ms=100)) as running:
        devices = [await join(running.port, f"home-{number}") for number in range(20)]
        for device in devices:
            device.send(readings(1, [1, 2]))
        for device in devices:
            await acked(device, 1)
        assert len(logged_batches(log)) <= 2
        assert sorted(logged(log, 1)["device"].tolist()) == sorted(2 * [2 * row for row in range(10)])


async def test_a_full_batch_does_not_wait_and_is_cut_into_entries() -> None:
    log = MemoryLog()
    async with plant(log, GatewayOptions(batch_ms=60_000, batch_rows=4)) as running:
        device = await join(running.port)
        device.send(readings(1, range(1, 11)))
        await acked(device, 1)
        assert [batch.size for batch in logged_batches(log)] == [4, 4, 2]


async def test_when_the_log_fails_there_is_no_ack_and_the_gateway_lives_on() -> None:
    log = HeldLog()
    async with plant(log) as running:
        device, idle = await join(running.port), await join(running.port, "home-1")
        log.broken = True
        device.send(readings(1))
        error = await device.refused("log_unavailable", fatal=True)
        assert "the disk is full" in error.message
        log.broken = False
        again = await join(running.port)
        again.send(readings(1))
        await acked(again, 1)
        idle.send(readings(1))
        await acked(idle, 1)
        assert len(logged_batches(log)) == 1


async def test_stopping_logs_and_acknowledges_what_was_received() -> None:
    log = MemoryLog()
    async with plant(log, GatewayOptions(batch_ms=60_000)) as running:
        device = await join(running.port)
        device.send(readings(1))
        await eventually(lambda: running.gateway.waiting_rows == 1)
        await running.gateway.stop()
        await acked(device, 1)
        assert (await asyncio.wait_for(device.closed, 5)).value == 1001
        assert len(logged_batches(log)) == 1
        assert running.gateway.sessions == 0


def commands(*rows: tuple[int, int, float, float]) -> Records:
    """Commands of (site row, seq, setpoint, price)."""
    records: Records = np.zeros(len(rows), COMMAND)
    for position, (site, seq, setpoint_kw, price) in enumerate(rows):
        times = (START_US, START_US + 300_000_000)
        records[position] = (site, seq, setpoint_kw, price, *times, 5, Issuer.MARKET)
    return records


async def test_commands_reach_their_sites_and_their_acks_come_back() -> None:
    async with plant() as running:
        first, second = await join(running.port, "home-0", MSGPACK), await join(running.port, "home-2")
        sent = running.gateway.send_commands(commands((0, 1, -2.5, 0.25), (1, 9, 1.5, np.nan), (7, 1, 0, 0)), 0)
        assert sent == (2, 1)
        got = await first.expect(Command)
        assert (got.seq, got.setpoint_kw, got.price_per_kwh) == (1, -2.5, 0.25)
        assert (got.not_before_us, got.expires_us, got.epoch, got.issuer) == (
            START_US,
            START_US + 300_000_000,
            5,
            Issuer.MARKET,
        )
        assert (await second.expect(Command)).price_per_kwh is None
        second.send(CommandAck(9, Status.REFUSED, "the owner holds the battery"))
        await eventually(lambda: bool(running.acks))
        assert running.acks == [("home-2", 1, CommandAck(9, Status.REFUSED, "the owner holds the battery"))]
        assert running.gateway.send_commands(commands((0, 2, 0, 0)), 1) == (0, 1)


async def test_commands_do_not_wait_for_telemetry_held_up_by_the_log() -> None:
    log = HeldLog()
    async with plant(log) as running:
        device = await join(running.port)
        log.gate.clear()
        device.send(readings(1, range(1, 200)))
        running.gateway.send_commands(commands((0, 1, 2.0, 0.1)), 0)
        assert (await device.expect(Command)).seq == 1
        log.gate.set()
        await acked(device, 1)


async def test_a_client_that_does_not_read_gets_only_the_latest_command_when_it_reads_again() -> None:
    async with plant() as running:
        device = await join(running.port)
        device.transport.underlying_transport.pause_reading()
        for seq in range(200_000):
            running.gateway.send_commands(commands((0, seq, 0.0, 0.0)), 0)
            if running.gateway.counts.commands_superseded == 3:
                break
        last = seq
        device.send(readings(1))
        await asyncio.sleep(0.05)
        assert len(logged_batches(running.log)) == 1
        device.transport.underlying_transport.resume_reading()
        seqs: list[int] = []
        while not seqs or seqs[-1] != last:
            seqs.append((await device.expect(Command)).seq)
        assert seqs == [*range(last - 3), last]
        await acked(device, 1)


async def join_with_policies(port: int, site: str = "home-0", codec: Codec = JSON) -> Device:
    """An open session of version 2."""
    device = await connect(port, codec)
    device.send(Hello([1, 2], site, issue(SECRET, site), "test"))
    assert (await device.expect(Welcome)).version == 2
    return device


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_policies_reach_connected_homes_now_and_others_when_they_connect(codec: Codec) -> None:
    async with plant() as running:
        here = await join_with_policies(running.port, "home-0", codec)
        made = [b"PFP\x01 one", b"PFP\x01 two"]
        assert running.gateway.send_policies(0, 4, START_US + 1, [0, 2], made) == 1
        assert await here.expect(PolicyFrame) == PolicyFrame(4, made[0])
        later = await join_with_policies(running.port, "home-4", codec)
        assert await later.expect(PolicyFrame) == PolicyFrame(4, made[1])
        other = await join_with_policies(running.port, "home-5", codec)
        await other.silent()
        assert running.gateway.counts.policies_sent == 2


async def test_a_newer_policy_takes_the_place_of_the_last_and_one_that_is_over_is_sent_to_nobody() -> None:
    async with plant() as running:
        running.gateway.send_policies(0, 4, START_US + 1, [0, 1], [b"old", b"old"])
        running.gateway.send_policies(0, 5, START_US + 1, [0], [b"new"])
        running.gateway.send_policies(1, 5, START_US, [0], [b"over"])
        assert await (await join_with_policies(running.port, "home-0")).expect(PolicyFrame) == PolicyFrame(5, b"new")
        for site in ("home-2", "home-1"):
            await (await join_with_policies(running.port, site)).silent()


async def test_a_client_of_version_1_never_sees_a_policy() -> None:
    async with plant() as running:
        running.gateway.send_policies(0, 4, START_US + 1, [0], [b"PFP"])
        device = await join(running.port)
        assert running.gateway.send_policies(0, 4, START_US + 1, [0], [b"PFP"]) == 0
        await device.silent()


async def test_the_log_hears_of_links_and_answers_in_their_order() -> None:
    log = MemoryLog()
    async with plant(log, GatewayOptions(batch_ms=1, partitions=2)) as running:
        device = await join(running.port)
        await eventually(lambda: len(logged_events(log)) == 2)
        running.gateway.send_commands(commands((0, 7, -1.0, 0.1)), 0)
        await device.expect(Command)
        device.send(CommandAck(7, Status.APPLIED))
        await eventually(lambda: len(logged_events(log)) == 3)
        device.transport.disconnect()
        await eventually(lambda: len(logged_events(log)) == 4)
        again = await join(running.port)
        await eventually(lambda: len(logged_events(log)) == 5)
        newer = await join(running.port)
        await again.refused("replaced", fatal=True)
        await eventually(lambda: len(logged_events(log)) == 6)
        del newer
    kinds = [kind for _, kind, _ in logged_events(log)]
    up, down = SiteEventKind.LINK_UP, SiteEventKind.LINK_DOWN
    assert kinds == [down, up, SiteEventKind.APPLIED, down, up, up, down], "a replaced session is no lost link"
    events = logged_events(log)
    assert events[0] == (2**32 - 1, down, 0), "nothing of an earlier life is believed"
    assert events[1][2] == events[3][2] < events[4][2] < events[5][2], "a later session has a higher number"
    assert logged_events(log, 1) == [(2**32 - 1, down, 0)]


async def test_events_wait_while_the_log_fails_and_only_the_newest_of_a_site_are_kept() -> None:
    log = HeldLog()
    async with plant(log, GatewayOptions(batch_ms=1)) as running:
        log.broken = True
        for _ in range(3):
            device = await join(running.port)
            device.transport.disconnect()
            await eventually(lambda: running.gateway.sessions == 0)
        await asyncio.sleep(0.05)
        log.broken = False
        await eventually(lambda: bool(logged_events(log)))
    assert [kind for _, kind, _ in logged_events(log)] == [SiteEventKind.LINK_DOWN]
