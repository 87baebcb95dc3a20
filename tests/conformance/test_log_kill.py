"""Killed at any moment, a durable log keeps every entry it acknowledged, byte for byte."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from powerflock.log.sqlite import SqliteLog

CHILD = """
import hashlib, sys
from powerflock.log.sqlite import SqliteLog
log = SqliteLog(sys.argv[1])
number = log.end("telemetry", 0)
while True:
    payload = hashlib.sha256(b"%d" % number).digest() * (number % 700 + 1)
    entries = [("telemetry", 0, payload), ("market", 0, payload[:8])]
    offset, other = log.transact(entries, [("twins", "telemetry", 0, number)])
    assert offset == other == number
    print(offset, flush=True)
    number += 1
"""


def expected(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest() * (number % 700 + 1)


def killed_run(path: Path, entries_before_kill: int, delay_s: float) -> int:
    """The last offset acknowledged by a child that is killed `delay_s` after some acknowledgements."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    last = -1
    for _ in range(entries_before_kill):
        last = int(child.stdout.readline())
    timer = threading.Timer(delay_s, child.send_signal, [signal.SIGKILL])
    timer.start()
    for line in child.stdout:
        if line.endswith("\n"):
            last = int(line)
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    timer.join()
    return last


@pytest.mark.parametrize("seed", range(2))
def test_nothing_acknowledged_is_lost_to_kill_9(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = tmp_path / "log.sqlite"
    for _ in range(4):
        last = killed_run(path, chance.randint(1, 5), chance.uniform(0.0, 0.1))
        log = SqliteLog(path)
        entries = log.read("telemetry", 0, 0, limit=1_000_000)
        assert len(entries) >= last + 1
        assert [entry.offset for entry in entries] == list(range(len(entries)))
        assert all(entry.payload == expected(entry.offset) for entry in entries)
        assert log.end("market", 0) == len(entries), "a transaction is whole or absent"
        assert log.committed("twins", "telemetry", 0) == len(entries) - 1
        log.close()
