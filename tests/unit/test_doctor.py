"""The doctor finds what would stop a plant, and says what to do."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from powerflock import cli, doctor
from powerflock.settings import load


def test_a_plant_could_run_here(tmp_path: Path) -> None:
    findings = doctor.examine(load(overrides={"plant.data_dir": tmp_path, "api.port": 0, "gateway.port": 0}).settings)
    assert [each.check for each in findings if not each.ok and each.check != "page"] == []
    assert not list(tmp_path.iterdir()), "looking leaves no trace"


def test_a_taken_port_is_found() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        finding = doctor.check_port("port", "127.0.0.1", server.getsockname()[1])
    assert not finding.ok
    assert "in use" in finding.found


def test_a_folder_that_is_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "plant").write_text("")
    assert not doctor.check_data_dir(tmp_path / "plant").ok


def test_a_damaged_log_is_found(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "good.sqlite")) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert doctor.check_log(tmp_path).ok
    (tmp_path / "log.sqlite3").write_bytes(b"not a database at all" * 100)
    finding = doctor.check_log(tmp_path)
    assert not finding.ok
    assert "log.sqlite3" in finding.found


def test_an_old_python_is_found() -> None:
    assert not doctor.check_python((3, 10)).ok


def test_a_missing_page_is_found(tmp_path: Path) -> None:
    assert not doctor.check_page(tmp_path).ok
    (tmp_path / "index.html").write_text("")
    assert doctor.check_page(tmp_path).ok


def test_a_clock_that_runs_wrong_is_found() -> None:
    now = doctor.BUILT_AFTER_US + 1
    steady = count(0, 50_000_000)
    assert doctor.check_clock(count(now, 50_000).__next__, steady.__next__, 0.0).ok
    assert not doctor.check_clock(count(now, 100_000).__next__, steady.__next__, 0.0).ok
    assert not doctor.check_clock(count(0, 50_000).__next__, steady.__next__, 0.0).ok


def test_a_failed_check_is_a_failed_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plant").write_text("")
    monkeypatch.setenv("POWERFLOCK_PLANT_DATA_DIR", str(tmp_path / "plant"))
    assert cli.run(["doctor", "--json"]) == cli.FAILED
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["python"]["ok"]
    assert not rows["data folder"]["ok"]
    assert "plant.data_dir" in rows["data folder"]["remedy"]
