"""The command line: fast help, data on stdout, one sentence for an error, exit codes that never change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

import powerflock
from powerflock import cli
from powerflock.domain.errors import InvalidInput, LogError
from powerflock.settings import Settings

POWERFLOCK = Path(sys.executable).parent / "powerflock"


class Calls(list[dict[str, object]]):
    """What the commands handed to the parts that run the plant."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """Stand in for the plant and the fleet, which have tests of their own."""
    found = Calls()

    def run_plant(settings: Settings, **options: object) -> None:
        found.append({"settings": settings, **options})

    def run_simulation(settings: Settings, **options: object) -> Mapping[str, object]:
        found.append({"settings": settings, **options})
        return {"trace_hash": "ab", "worse_off_homes": 0, "share_of_perfect": float("nan")}

    def run_fleet(**options: object) -> None:
        found.append(options)

    live, virtual = ModuleType("powerflock.compose.live"), ModuleType("powerflock.compose.virtual")
    agent = ModuleType("powerflock.sim.agent")
    vars(live).update(run_plant=run_plant)
    vars(virtual).update(run_simulation=run_simulation)
    vars(agent).update(run_fleet=run_fleet)
    monkeypatch.setitem(sys.modules, live.__name__, live)
    monkeypatch.setitem(sys.modules, virtual.__name__, virtual)
    monkeypatch.setitem(sys.modules, agent.__name__, agent)
    monkeypatch.chdir(tmp_path)
    return found


def test_help_needs_nothing_heavy_and_so_answers_at_once() -> None:
    program = "import sys, powerflock.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "numba", "pydantic", "fastapi", "uvicorn", "pyarrow", "rich", "msgspec", "asyncio"}
    assert heavy & set(loaded) == set()


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("up", "fleet", "simulate", "sites", "bids", "groups", "alarms", "config", "doctor", "version"):
        assert f"\n  {name} " in shown
    assert "130 interrupted" in shown


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": powerflock.__version__}


def test_settings_are_shown_with_their_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERFLOCK_API_PORT", "9000")
    assert cli.run(["config", "show", "--origin", "--demo", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["api.port"] == {"key": "api.port", "value": 9000, "origin": "environment POWERFLOCK_API_PORT"}
    assert rows["plant.speed"]["origin"] == "demo"
    assert cli.run(["config", "show", "--origin"]) == 0
    assert "environment POWERFLOCK_API_PORT" in capsys.readouterr().out
    assert cli.run(["config", "show"]) == 0
    assert "meaning" in capsys.readouterr().out


def test_up_hands_over_what_was_asked_for(calls: Calls, tmp_path: Path) -> None:
    homes = tmp_path / "homes.csv"
    homes.write_text("site\n")
    arguments = [
        "up",
        "--demo",
        "--homes",
        "12",
        "--homes-file",
        str(homes),
        "--port",
        "9001",
        "--gateway-port",
        "9002",
    ]
    assert cli.run([*arguments, "--data-dir", str(tmp_path / "d"), "--prices", "p.csv"]) == 0
    (call,) = calls
    settings = call["settings"]
    assert isinstance(settings, Settings)
    assert (settings.plant.speed, settings.api.port, settings.gateway.port) == (60.0, 9001, 9002)
    assert (settings.plant.data_dir, settings.market.prices) == (tmp_path / "d", Path("p.csv"))
    assert (call["demo"], call["homes"], call["homes_file"]) == (True, 12, homes)


def test_a_real_plant_runs_in_real_time(calls: Calls) -> None:
    assert cli.run(["up"]) == 0
    settings = calls[0]["settings"]
    assert isinstance(settings, Settings)
    assert (settings.plant.speed, calls[0]["demo"]) == (1.0, False)


def test_simulate_prints_one_object(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "simulate",
        "--homes",
        "20",
        "--days",
        "2",
        "--seed",
        "7",
        "--forecast",
        "perfect",
        "--start",
        "2025-01-02",
    ]
    assert cli.run([*arguments, "--prices", "p.csv", "--prices-start", "2025-01-02T10:00:00+10:00", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"trace_hash": "ab", "worse_off_homes": 0, "share_of_perfect": None}
    (call,) = calls
    assert (call["homes"], call["homes_file"], call["days"], call["seed"], call["perfect"]) == (20, None, 2, 7, True)
    assert (call["start_us"], call["prices_start_us"]) == (1_735_776_000_000_000, 1_735_776_000_000_000)
    assert cli.run(["simulate"]) == 0
    assert "trace_hash" in capsys.readouterr().out


def test_fleet_finds_the_plant_of_the_settings(calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POWERFLOCK_GATEWAY_PORT", "9100")
    monkeypatch.setenv("POWERFLOCK_PLANT_DATA_DIR", str(tmp_path))
    assert cli.run(["fleet", "--homes", "3", "--codec", "json"]) == 0
    (call,) = calls
    assert (call["url"], call["api"]) == ("ws://127.0.0.1:9100/v1", "http://127.0.0.1:8740")
    assert (call["codec"], call["homes"], call["enrol_key_file"]) == ("json", 3, tmp_path / "enrol.key")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["up", "--port", "70000"], "api.port (from command line) is 70000"),
        (["up", "--homes", "0"], "homes"),
        (["up", "--homes-file", "x.csv"], "needs --demo"),
        (["up", "--demo", "--homes-file", "absent.csv"], "no such file"),
        (["up", "--config", "absent.toml"], "no such file"),
        (["simulate", "--homes", "absent.csv"], "--homes is 'absent.csv'; there is no such file"),
        (["simulate", "--homes", "-3"], "must be between 1 and 1000000"),
        (["simulate", "--start", "yesterday"], "--start is 'yesterday'; must be RFC 3339"),
        (["simulate", "--homes-start", "2025-01-02"], "needs a file in --homes"),
        (["simulate", "--prices-start", "2025-01-02"], "needs --prices"),
        (["simulate", "--region", "XX1"], "plant.region (from command line) is 'XX1'"),
        (["simulate", "--forecast", "magic"], "magic"),
        (["fleet", "--codec", "xml"], "xml"),
        (["sites", "list", "--url", "file:///etc"], "must be an http or https address"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_named_and_exits_with_2(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert cli.run(arguments) == cli.BAD_INPUT
    shown = capsys.readouterr()
    assert shown.out == ""
    assert expected in shown.err
    assert "Traceback" not in shown.err
    assert calls == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LogError("the disk is full"), 1),
        (InvalidInput("price", 1, "must be 2"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit("said no"), 1),
    ],
)
def test_what_happens_while_running_has_its_exit_code(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["powerflock.compose.live"], "run_plant", fail)
    assert cli.run(["up"]) == code


def test_no_plant_exits_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bids", "list", "--url", "http://127.0.0.1:9"]) == cli.UNREACHABLE
    shown = capsys.readouterr()
    assert "No plant answers at http://127.0.0.1:9" in shown.err
    assert shown.out == ""


def test_the_installed_command_exits_with_the_same_codes() -> None:
    done = subprocess.run([POWERFLOCK, "up", "--port", "-1"], capture_output=True, text=True, check=False)
    assert done.returncode == cli.BAD_INPUT
    assert done.stderr == "powerflock: api.port (from command line) is -1; must be greater than or equal to 0.\n"
