"""`make setup`: free when nothing changed, and where it cannot go on it says exactly what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.data import ROOT, data_file

TOOLS = ("bash", "cat", "dirname", "env", "grep", "mkdir", "rm", "sha256sum")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A project and a machine without Python, apt or root: only the tools in `bin`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scripts").mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where is not None
        (tmp_path / "bin" / tool).symlink_to(where)
    for name in ("pyproject.toml", "uv.lock", "scripts/setup.sh", "scripts/tools.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    put(tmp_path, "id", "echo 1000")
    return tmp_path


def put(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def setup(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(machine / "scripts" / "setup.sh"), *arguments]
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_no_python_says_what_to_install(machine: Path) -> None:
    done = setup(machine)
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_an_old_python_does_not_count(machine: Path) -> None:
    put(machine, "python3", "exit 1")
    assert "no Python 3.11 to 3.14 found" in setup(machine).stderr


def test_a_python_without_environments_says_what_to_install(machine: Path) -> None:
    put(machine, "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = setup(machine)
    assert done.returncode == 1
    assert "as root, run 'apt-get install python3-venv'" in done.stderr


def test_a_second_time_costs_nothing_and_a_missing_browser_or_broker_is_no_failure(machine: Path) -> None:
    stamp = f"cat pyproject.toml uv.lock | sha256sum | tr -d '\\n'; printf %s {machine}"
    (machine / ".venv").mkdir()
    wanted = subprocess.run(["bash", "-c", stamp], cwd=machine, capture_output=True, text=True, check=True).stdout
    (machine / ".venv" / ".setup").write_text(wanted)
    done = setup(machine, "--without-browser")
    assert (done.returncode, done.stderr) == (0, "")
    done = setup(machine)
    assert done.returncode == 0
    assert "as root, run 'apt-get install chromium'" in done.stderr
    assert "as root, run 'apt-get install default-jre-headless maven'" in done.stderr
    assert "no Go, so nothing is built: install Go 1.26 or newer" in done.stderr


def test_an_absent_data_file_is_skipped_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="set POWERFLOCK_DATA"):
        data_file("homes/absent.parquet")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"absent\.parquet is absent"):
        data_file("homes/absent.parquet")
    (tmp_path / "here").write_text("")
    assert data_file("here") == tmp_path / "here"


def test_ci_runs_what_a_developer_runs() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "make test" in (ROOT / ".ci" / "run").read_text()
