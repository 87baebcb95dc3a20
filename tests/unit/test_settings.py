"""Settings: every value's origin is known, and a wrong one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.settings import load


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def origin_of(key: str, **arguments: object) -> tuple[object, str]:
    loaded = load(**arguments)  # type: ignore[arg-type] # the tests pass what `load` takes
    row = next(row for row in loaded.rows() if row.key == key)
    return row.value, row.origin


def test_defaults_run_a_plant_on_this_machine_alone() -> None:
    settings = load().settings
    assert (settings.api.host, settings.api.port, settings.gateway.port) == ("127.0.0.1", 8740, 8741)
    assert settings.plant.speed == 1.0
    assert all(row.origin == "default" and row.description for row in load().rows())


def test_each_layer_wins_over_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "plant.speed"
    assert origin_of(key) == (1.0, "default")
    assert origin_of(key, demo=True) == (60.0, "demo")
    file = tmp_path / "plant.toml"
    file.write_text("[plant]\nspeed = 2\n")
    assert origin_of(key, demo=True, config=file) == (2.0, f"file {file}")
    monkeypatch.setenv("POWERFLOCK_PLANT_SPEED", "3")
    assert origin_of(key, demo=True, config=file) == (3.0, "environment POWERFLOCK_PLANT_SPEED")
    assert origin_of(key, config=file, overrides={key: 4.0}) == (4.0, "command line")
    assert origin_of(key, config=file, overrides={key: None}) == (3.0, "environment POWERFLOCK_PLANT_SPEED")


def test_the_folders_own_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "powerflock.toml").write_text('[market]\nprices = "p.csv"\n')
    assert origin_of("market.prices") == ("p.csv", "file powerflock.toml")


def test_a_switch_is_turned_on_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "switch.toml"
    file.write_text("[kafka]\nproduction = true\n")
    assert load(config=file).settings.kafka.production is True


def test_an_environment_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[api]\nport = 9000\n")
    monkeypatch.setenv("POWERFLOCK_CONFIG", str(file))
    assert origin_of("api.port") == (9000, f"file {file}")


def test_field_names_with_underscores_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POWERFLOCK_PLANT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("POWERFLOCK_GATEWAY_MAX_FRAME_BYTES", "2048")
    settings = load().settings
    assert (settings.plant.data_dir, settings.gateway.max_frame_bytes) == (tmp_path, 2048)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[plant]\nspeeed = 2", ["plant.speeed", "Did you mean plant.speed"]),
        ("[plnt]\nspeed = 2", ["plnt", "no such setting"]),
        ("speed = 2", ["speed", "no such setting"]),
        ("[api]\nport = 70000", ["api.port", "70000", "less than or equal to 65535"]),
        ('[api]\nport = "8740"', ["api.port", "must be a number", "without quotes"]),
        ("[api]\nport = true", ["api.port", "must be a number"]),
        ("[api]\nport = 8740.5", ["api.port", "8740.5", "integer"]),
        ("[plant]\ntick_s = nan", ["plant.tick_s", "finite"]),
        ("[plant]\ninterval_s = 420", ["plant.interval_s", "420", "divide an hour"]),
        (
            "[estimate]\nsilent_after_s = 10",
            ["estimate.silent_after_s", "10", "greater than estimate.stale_after_s, 30"],
        ),
        ("[gateway]\nport = 8740", ["gateway.port", "8740", "differ from api.port"]),
        (
            '[programme]\nkind = "charity"',
            ["programme.kind", "'charity'", "'front_of_meter', 'aggregator' or 'retailer'"],
        ),
        ("[plant", ["cannot be read as TOML"]),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, expected: list[str]) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load(config=file)
    assert all(part in str(caught.value) for part in [*expected, str(file)])


def test_a_wrong_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERFLOCK_API_PROT", "1")
    with pytest.raises(InvalidInput, match=r"POWERFLOCK_API_PROT.*Did you mean POWERFLOCK_API_PORT"):
        load()


def test_a_variable_out_of_bounds_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERFLOCK_PLAN_EVERY_INTERVALS", "0")
    with pytest.raises(
        InvalidInput, match=r"plan.every_intervals \(from environment POWERFLOCK_PLAN_EVERY_INTERVALS\)"
    ):
        load()


def test_the_variable_for_test_data_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERFLOCK_DATA", "/nowhere")
    load()


def test_an_override_out_of_bounds_is_the_command_lines() -> None:
    with pytest.raises(InvalidInput, match=r"plant.speed \(from command line\) is 0"):
        load(overrides={"plant.speed": 0.0})


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean api\.port"):
        load(overrides={"api.prot": 1})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        load(config=tmp_path / "absent.toml")
