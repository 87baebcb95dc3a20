"""The homes file: energy is kept exactly, defaults are the documented ones, faults are named by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from powerflock.domain.clock import from_rfc3339
from powerflock.domain.errors import InvalidInput
from powerflock.sim.homes_file import read_homes
from powerflock.sim.sources import load_homes
from tests.homes_data import write_real_homes

START = datetime(2025, 1, 1, tzinfo=UTC)


def rows(sites: int = 2, hours: int = 24) -> list[dict[str, object]]:
    return [
        {
            "site": f"s{site}",
            "interval_start": (START + timedelta(hours=hour)).isoformat(),
            "load_kwh": 1.0 + site,
            "solar_kwh": 2.0 if hour == 12 and site == 0 else 0.0,
        }
        for site in range(sites)
        for hour in range(hours)
    ]


def write(folder: Path, table: list[dict[str, object]]) -> Path:
    file = folder / "homes.csv"
    pyarrow.csv.write_csv(pa.Table.from_pylist(table), file)
    return file


def test_energy_is_spread_evenly_and_generation_turns_passive(tmp_path: Path) -> None:
    fleet = read_homes(write(tmp_path, rows()))
    assert [spec.site for spec in fleet.specs] == ["s0", "s1"]
    assert fleet.profiles.load_kw.shape == (2, 288)
    assert fleet.profiles.load_kw[:, 0].tolist() == [1.0, 2.0]
    assert fleet.profiles.solar_kw[0, 144:156].tolist() == [-2.0] * 12
    assert fleet.profiles.solar_kw.sum() == -24.0
    assert fleet.profiles.start_us == from_rfc3339("2025-01-01T00:00:00Z")


def test_what_the_file_does_not_say_takes_the_documented_default(tmp_path: Path) -> None:
    first, second = read_homes(write(tmp_path, rows())).specs
    assert first.battery is not None
    assert (first.battery.capacity_kwh, first.battery.charge_limit_kw, first.battery.reserve_ratio) == (13.5, 5.0, 0.2)
    assert (first.solar_kw, first.daily_load_kwh, first.tariff.name) == (2.0, 24.0, "flat")
    assert (second.solar_kw, second.feeder, second.region) == (0.0, "feeder-01", "region-1")


def test_optional_columns_set_a_homes_terms_and_empty_ones_do_not(tmp_path: Path) -> None:
    given = {"battery_kwh": ("6.5", "0"), "tariff": ("time-of-use", ""), "utc_offset_minutes": ("660", "")}
    table = [row | {k: v[row["site"] == "s1"] for k, v in given.items()} for row in rows()]
    first, second = read_homes(write(tmp_path, table)).specs
    assert first.battery is not None
    assert (first.battery.capacity_kwh, first.tariff.name, first.utc_offset_minutes) == (6.5, "time-of-use", 660)
    assert (second.battery, second.tariff.name, second.utc_offset_minutes) == (None, "flat", 600)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"load_kwh": -0.5}, "row 4 of 1 such rows: load_kwh is -0.5; must be 0 or more"),
        ({"solar_kwh": float("nan")}, "row 4: solar_kwh"),
        ({"interval_start": "2025-01-01T02:00:00"}, "row 4: interval_start .* offset"),
        ({"interval_start": "2025-01-01T01:00:00Z"}, "row 4: minutes since the interval before of site s0 is 0.0"),
        ({"site": ""}, "row 4: site"),
        ({"site": "s9"}, "s0 is 120.0; must be 60"),
        ({"site": "not a name"}, "must be 60"),
    ],
)
def test_a_fault_in_a_homes_file_is_named_by_row_and_value(
    tmp_path: Path, change: dict[str, object], match: str
) -> None:
    table = rows()
    table[2] |= change
    with pytest.raises(InvalidInput, match=match):
        read_homes(write(tmp_path, table))


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("tariff", ["cheap"] * 48, "tariff is 'cheap'; must be one of flat"),
        ("tariff", ["flat"] * 47 + ["time-of-use"], "row 49: tariff .* same in all rows of site s1"),
        ("battery_kwh", ["big"] * 48, "row 2: battery_kwh is 'big'; must be a number"),
        ("battery_kwh", ["-1"] * 48, "site s0: battery.capacity_kwh"),
        ("solar_kw", ["0"] * 48, "site s0: solar_kw is 0.0; must be positive"),
        ("colour", ["red"] * 48, "has unknown colour"),
    ],
)
def test_terms_that_make_no_sense_are_refused(tmp_path: Path, column: str, values: list[str], match: str) -> None:
    table = [row | {column: value} for row, value in zip(rows(), values, strict=True)]
    with pytest.raises(InvalidInput, match=match):
        read_homes(write(tmp_path, table))


def test_spans_must_be_whole_days_and_the_same_for_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must be whole days"):
        read_homes(write(tmp_path, rows(hours=30)))
    with pytest.raises(InvalidInput, match="span of site s1"):
        read_homes(write(tmp_path, rows()[:-1]))
    with pytest.raises(InvalidInput, match="misses load_kwh"):
        read_homes(write(tmp_path, [{"site": "s0", "interval_start": "x", "solar_kwh": 0}]))


def test_parquet_times_need_their_zone(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([row | {"interval_start": START.replace(tzinfo=None)} for row in rows()])
    pq.write_table(table, tmp_path / "homes.parquet")
    with pytest.raises(InvalidInput, match="Store it with a time zone"):
        read_homes(tmp_path / "homes.parquet")


def test_sixteen_real_homes_replay_with_every_kwh(tmp_path: Path) -> None:
    start_us = from_rfc3339("2025-01-10T00:00:00+10:00")
    file = write_real_homes(tmp_path / "real.parquet", start_us, first_day=150, days=2)
    fleet = load_homes(file, 0, 0, 0)
    table = pq.read_table(file)
    assert len(fleet.specs) == 16
    assert fleet.profiles.days == 2
    assert fleet.profiles.load_kw.sum() / 12.0 == pytest.approx(np.sum(table["load_kwh"].to_numpy()), rel=1e-5)
    assert -fleet.profiles.solar_kw.sum() / 12.0 == pytest.approx(np.sum(table["solar_kwh"].to_numpy()), rel=1e-5)
    assert -fleet.profiles.solar_kw[:, 144:156].sum() > 5.0 * -fleet.profiles.solar_kw[:, :60].sum()
