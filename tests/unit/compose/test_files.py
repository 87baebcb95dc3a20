"""A plant's folder belongs to one plant at a time, and its secrets to its user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from powerflock.compose.files import PlantFiles
from powerflock.domain.errors import InvalidInput


def test_a_folder_in_use_is_refused_by_name(tmp_path: Path) -> None:
    held = PlantFiles.open(tmp_path)
    with pytest.raises(InvalidInput, match=r"plant\.data_dir.*in use by another plant"):
        PlantFiles.open(tmp_path)
    held.lock.close()
    PlantFiles.open(tmp_path).lock.close()


def test_a_killed_plant_leaves_its_folder_free(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from powerflock.compose.files import PlantFiles;"
        "held = PlantFiles.open(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    PlantFiles.open(tmp_path).lock.close()


def test_secrets_outlive_a_restart_and_are_nobody_elses(tmp_path: Path) -> None:
    first = PlantFiles.open(tmp_path)
    first.lock.close()
    again = PlantFiles.open(tmp_path)
    again.lock.close()
    assert (again.secret, again.enrol_key) == (first.secret, first.enrol_key)
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
    assert (tmp_path / "enrol.key").stat().st_mode & 0o077 == 0


def test_a_damaged_secret_is_named_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")
    with pytest.raises(InvalidInput, match=r"secret file .*must be 64 hexadecimal digits"):
        PlantFiles.open(tmp_path)
