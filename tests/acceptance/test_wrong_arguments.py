"""Wrong arguments and a machine that does not allow it: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import command, environment, free_port
from tests.data import ROOT, data_file

BAD_INPUT = 2


def refused(arguments: list[str], **variables: str) -> str:
    """What the command says; it must refuse quickly, in one sentence."""
    done = subprocess.run(
        command(arguments),
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == BAD_INPUT, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("powerflock: ")
    return complaint


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


@pytest.mark.parametrize("option", ["--port", "--gateway-port"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, taken: int, option: str) -> None:
    ports = {"--port": free_port(), "--gateway-port": free_port()} | {option: taken}
    flat = [text for pair in ports.items() for text in map(str, pair)]
    said = refused(["up", "--data-dir", str(tmp_path / "plant"), *flat])
    assert str(taken) in said
    assert "in use" in said
    assert option in said


def test_a_region_that_the_prices_do_not_hold_is_refused_with_those_they_hold(tmp_path: Path) -> None:
    prices = data_file("nem/vic1_price_demand_5min_2024-12_2025-07.parquet")
    arguments = ["up", "--data-dir", str(tmp_path / "plant"), "--port", str(free_port()), "--prices", str(prices)]
    assert "must be one of VIC1" in refused(arguments, POWERFLOCK_PLANT_REGION="TAS1")
    assert "plant.region (from environment POWERFLOCK_PLANT_REGION) is 'ZZ1'" in refused(
        arguments, POWERFLOCK_PLANT_REGION="ZZ1"
    )


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(["up", "--data-dir", str(tmp_path / "file" / "plant"), "--port", str(free_port())])
    assert str(tmp_path / "file" / "plant") in said
    assert "--data-dir" in said


@pytest.mark.parametrize("arguments", [["up", "--demo"], ["fleet"]])
def test_a_missing_homes_file_is_named(tmp_path: Path, arguments: list[str]) -> None:
    said = refused([*arguments, "--homes-file", str(tmp_path / "homes.parquet")])
    assert str(tmp_path / "homes.parquet") in said
    assert "there is no such file" in said
