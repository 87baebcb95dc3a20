"""The virtual fleet as a process against a real gateway: nothing acknowledged is lost when the plant is killed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode
from powerflock.domain.columns import SITE_EVENT, TELEMETRY
from powerflock.log.sqlite import SqliteLog
from tests.data import ROOT

HOMES = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait(10)
        assert running.stderr is not None
        running.stderr.close()


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float = 20.0) -> float:
    """Seconds until `ready`."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if ready():
            return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_s} s for {what}")


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def stored(folder: Path) -> Records:
    log = SqliteLog(folder / "log.sqlite")
    try:
        entries = log.read("telemetry", 0, 0, 1_000_000)
        batches = [decode(entry.payload, TELEMETRY, SITE_EVENT) for entry in entries]
        return np.concatenate([batch for batch in batches if batch.dtype == TELEMETRY])
    finally:
        log.close()


@pytest.fixture
def ports() -> tuple[str, str]:
    return str(free_port()), str(free_port())


def fleet_arguments(folder: Path, ports: tuple[str, str], codec: str) -> list[str]:
    api, gateway = ports
    return [
        "-m", "powerflock.cli", "fleet", "--homes", str(HOMES), "--seed", "5", "--codec", codec, "--period-s", "0.5",
        "--url", f"ws://127.0.0.1:{gateway}/v1", "--api", f"http://127.0.0.1:{api}",
        "--enrol-key-file", str(folder / "enrol.key"), "--ledger", str(folder / "ledger.jsonl"),
    ]  # fmt: skip


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_killed_plant_that_returns_has_everything_it_acknowledged_exactly_once_in_effect(
    tmp_path: Path, ports: tuple[str, str], codec: str
) -> None:
    folder = tmp_path / "plant"
    ledger = folder / "ledger.jsonl"
    plant_arguments = ["-m", "tests.integration.fleet_plant", str(folder), *ports]

    def acked() -> int:
        return sum(line["kind"] == "acked" for line in lines(ledger))

    folder.mkdir()
    with process(*fleet_arguments(folder, ports, codec)) as fleet:  # before the plant: it waits politely
        with process(*plant_arguments) as plant:
            wait_for("readings to be acknowledged", lambda: acked() > 4 * HOMES)
            plant.send_signal(signal.SIGKILL)
        before = acked()
        time.sleep(1.0)
        with process(*plant_arguments):
            back_s = wait_for("more after the plant came back", lambda: acked() > before + 6 * HOMES)
            fleet.send_signal(signal.SIGTERM)
            assert fleet.wait(10) == 0
    book = lines(ledger)
    sent = {(line["site"], line["seqs"]["meter"]) for line in book if line["kind"] == "sent"}  # type: ignore[index]
    held = {(line["site"], line["seqs"]["meter"]) for line in book if line["kind"] == "acked"}  # type: ignore[index]
    registry = list(json.loads((folder / "registry.json").read_text()))
    rows = stored(folder)
    meters = rows[rows["device"] % 3 == 2]
    kept = {
        (registry[device // 3], seq)
        for device, seq in zip(meters["device"].tolist(), meters["seq"].tolist(), strict=True)
    }
    assert held <= kept, "acknowledged but not stored"
    assert kept <= sent, "stored but never sent"
    assert len(sent - held) <= 4 * HOMES, "what was in flight at the kill was sent again and acknowledged"
    assert back_s < 8.0


def test_homes_obey_commands_and_the_ledger_holds_the_energy_truth(tmp_path: Path, ports: tuple[str, str]) -> None:
    folder = tmp_path / "plant"
    folder.mkdir()
    ledger = folder / "ledger.jsonl"

    def intervals() -> list[dict[str, object]]:
        return [line for line in lines(ledger) if line["kind"] == "energy"]

    with (
        process("-m", "tests.integration.fleet_plant", str(folder), *ports),
        process(*fleet_arguments(folder, ports, "msgpack")) as fleet,
    ):
        wait_for("two whole intervals", lambda: len(intervals()) >= 3, 30.0)
        fleet.send_signal(signal.SIGTERM)
        assert fleet.wait(10) == 0
    acks = [json.loads(line) for line in (folder / "acks.jsonl").read_text().splitlines()]
    assert {status for _, status, _ in acks} == {"applied"}
    net_kwh = np.array(list(intervals()[2]["net_kwh"].values()))  # type: ignore[attr-defined]
    assert np.isclose(net_kwh, -1.0 / 12.0, atol=1e-6).sum() > HOMES / 2, net_kwh


def test_homes_enrol_again_with_a_plant_that_forgot_them(tmp_path: Path, ports: tuple[str, str]) -> None:
    folder = tmp_path / "plant"
    folder.mkdir()
    plant_arguments = ["-m", "tests.integration.fleet_plant", str(folder), *ports]

    def acked() -> int:
        return sum(line["kind"] == "acked" for line in lines(folder / "ledger.jsonl"))

    with process(*fleet_arguments(folder, ports, "msgpack")):
        with process(*plant_arguments):
            wait_for("readings to be acknowledged", lambda: acked() > HOMES)
        before = acked()
        for name in ("registry.json", "clock"):
            (folder / name).unlink()
        with process(*plant_arguments):
            wait_for("readings at the new plant", lambda: acked() > before + 8 * HOMES)


def test_a_wrong_enrol_key_ends_the_fleet_with_the_plants_words(tmp_path: Path, ports: tuple[str, str]) -> None:
    folder = tmp_path / "plant"
    with process("-m", "tests.integration.fleet_plant", str(folder), *ports):
        wait_for("the key", (folder / "enrol.key").exists)
        wrong = tmp_path / "wrong.key"
        wrong.write_text("guess")
        arguments = [a.replace(str(folder / "enrol.key"), str(wrong)) for a in fleet_arguments(folder, ports, "json")]
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert "does not accept this enrol key" in done.stderr
