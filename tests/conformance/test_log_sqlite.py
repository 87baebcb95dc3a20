"""The embedded log names the file and the remedy when its infrastructure fails, and stays usable where it can."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, LogError
from powerflock.log.memory import MemoryLog
from powerflock.log.open import open_log
from powerflock.log.sqlite import SqliteLog


def test_a_full_disk_refuses_the_write_whole_and_the_log_goes_on_when_there_is_space(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    log.append("telemetry", 0, b"kept")
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(LogError, match=r"log\.sqlite: database or disk is full\. Free space"):
        log.transact([("telemetry", 0, b"small"), ("telemetry", 0, b"x" * 100_000)])
    assert log.end("telemetry", 0) == 1
    log._writer.execute("PRAGMA max_page_count = 1000000")
    assert log.append("telemetry", 0, b"x" * 100_000) == 1
    log.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogError, match=r"log\.sqlite: file is not a database\. .*restore a copy"):
        SqliteLog(path)
    assert path.read_bytes() == b"not a database" * 1000


def test_damaged_pages_are_reported_not_read_as_data(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = SqliteLog(path)
    log.transact([("telemetry", 0, bytes([number]) * 900) for number in range(100)])
    log.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)
    damaged = SqliteLog(path)
    with pytest.raises(LogError, match=r"log\.sqlite: .*malformed.*restore a copy"):
        damaged.read("telemetry", 0, 0)
    damaged.close()


def test_another_programs_database_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(LogError, match="not a Powerflock log"):
        SqliteLog(path)


def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="unable to open"):
        SqliteLog(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(LogError, match="folder cannot be made"):
        SqliteLog(tmp_path / "file" / "log.sqlite")


def test_every_commit_is_synced(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    assert log._writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert log._writer.execute("PRAGMA synchronous").fetchone()[0] == 2
    log.close()


def test_urls_open_the_backend_they_name(tmp_path: Path) -> None:
    assert isinstance(open_log("memory:"), MemoryLog)
    log = open_log(f"sqlite:{tmp_path}/new/folder/log.sqlite")
    assert log.append("telemetry", 0, b"x") == 0
    log.close()
    assert (tmp_path / "new" / "folder" / "log.sqlite").exists()
    for url in ("sqlite:", "kafka:9092", "", "memory:x"):
        with pytest.raises(InvalidInput, match="log URL"):
            open_log(url)
