"""Prices: generated ones extend for ever, AEMO's files are read exactly or refused by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_DAY, from_rfc3339
from powerflock.domain.errors import InvalidInput
from powerflock.sim.price_files import read_prices
from powerflock.sim.prices import STEP_US, generated
from tests.data import data_file

START_US = from_rfc3339("2026-01-01T00:00:00Z")
HEADER = "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE"
GOOD = [
    "VIC1,2025/01/01 00:05:00,4000.1,50.5,TRADE",
    "VIC1,2025/01/01 00:10:00,4000.2,-10,TRADE",
    "VIC1,2025/01/01 00:15:00,4000.3,17500,TRADE",
]


def csv(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    file = folder / "prices.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_a_generated_day_is_the_same_in_whatever_window_it_is_asked_for() -> None:
    long, short = generated(7, START_US, 9), generated(7, START_US + 3 * MICROS_PER_DAY + STEP_US, 2)
    assert np.array_equal(long.window(short.start_us, short.end_us).price_per_mwh, short.price_per_mwh)
    assert not np.array_equal(generated(8, START_US, 9).price_per_mwh, long.price_per_mwh)
    assert long.generated
    assert "generated" in long.source


def test_generated_prices_have_the_shape_that_makes_batteries_worth_while() -> None:
    series = generated(1, from_rfc3339("2026-01-01T00:00:00+10:00"), 200)
    by_hour = np.median(series.price_per_mwh.reshape(200, 24, 12), axis=(0, 2))
    assert by_hour[12] < 0.5 * by_hour[3] < by_hour[18]
    assert 0.05 < (series.price_per_mwh < 0).mean() < 0.3
    assert (series.price_per_mwh > 1000).any()
    assert 50 < series.price_per_mwh.mean() < 130


def test_a_price_is_looked_up_by_the_interval_that_holds_the_time() -> None:
    series = generated(1, START_US, 1)
    assert series.at(START_US) == series.at(START_US + STEP_US - 1) == series.price_per_mwh[0]
    for outside in (START_US - 1, series.end_us):
        with pytest.raises(InvalidInput, match="must lie in 2026-01-01"):
            series.at(outside)
    with pytest.raises(InvalidInput, match="5-minute boundaries"):
        series.window(START_US + 1, series.end_us)
    moved = series.shift_days(-2)
    assert moved.at(START_US - 2 * MICROS_PER_DAY) == series.at(START_US)
    assert "moved by -2 days" in moved.source


@pytest.mark.parametrize("style", ["{}", "{}+10:00", "iso"])
def test_aemo_csv_labels_the_end_of_the_interval_in_market_time(tmp_path: Path, style: str) -> None:
    rows = [row.replace("/", "-").replace(" 00", "T00") for row in GOOD] if style == "iso" else GOOD
    rows = [row.replace("00,4", "00+10:00,4") for row in rows] if "+" in style else rows
    series = read_prices(csv(tmp_path, rows))
    assert series.start_us == from_rfc3339("2025-01-01T00:00:00+10:00")
    assert series.price_per_mwh.tolist() == [50.5, -10.0, 17500.0]
    assert (series.region, series.generated) == ("VIC1", False)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([GOOD[0], GOOD[2]], r"row 3: minutes since .* is 10\.0; must be 5"),
        ([GOOD[0], GOOD[0].replace("50.5", "50.6"), *GOOD[1:]], "row 3: RRP of VIC1 .* row 2 gives 50.5"),
        ([GOOD[0], GOOD[1].replace("-10", "NaN")], "row 3: RRP is 'NaN'; must be a finite number"),
        ([GOOD[0], GOOD[1].replace("-10", "")], "row 3: RRP is ''"),
        ([GOOD[0], GOOD[1].replace("-10", "n/a")], "row 3: RRP is 'n/a'"),
        ([GOOD[0], GOOD[1].replace("2025/01/01 00:10:00", "01/01/2025 00:10")], "row 3: SETTLEMENTDATE"),
        ([GOOD[0], GOOD[1].replace("2025/01/01", "2025/02/30")], "row 3: SETTLEMENTDATE"),
        ([GOOD[0], GOOD[1].replace("TRADE", "FORECAST")], "row 3: PERIODTYPE is 'FORECAST'"),
        ([*GOOD, GOOD[0].replace("VIC1", "SA1")], "region is None; must be one of SA1, VIC1"),
        ([], "holds no rows"),
    ],
)
def test_a_fault_in_a_price_file_is_named_by_its_row_and_value(tmp_path: Path, rows: list[str], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        read_prices(csv(tmp_path, rows))


def test_wrong_columns_regions_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must hold REGION"):
        read_prices(csv(tmp_path, ["2025/01/01 00:05:00,3"], "SETTLEMENTDATE,PRICE"))
    with pytest.raises(InvalidInput, match="region is 'QLD1'; must be one of VIC1"):
        read_prices(csv(tmp_path, GOOD), "QLD1")
    with pytest.raises(InvalidInput, match="must exist"):
        read_prices(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="must end in"):
        read_prices(tmp_path / "prices.xlsx")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(InvalidInput, match="cannot be read as parquet"):
        read_prices(broken)


def test_an_exact_repeat_of_a_row_changes_nothing(tmp_path: Path) -> None:
    assert read_prices(csv(tmp_path, [GOOD[0], *GOOD])).price_per_mwh.size == 3


@pytest.mark.parametrize(
    ("name", "region", "start", "intervals", "first"),
    [
        ("vic1_price_demand_5min_2024-12_2025-07", None, "2024-12-01T00:00:00+10:00", 69_984, 91.84),
        ("dispatchprice_5regions_2021-01-01_21", "NSW1", "2021-01-01T00:00:00+10:00", 6_048, 39.0),
        ("tradingprice_10fcas_5regions_2025-12-20_2026-01-04", "NSW1", "2025-12-20T14:50:00+10:00", 4_330, 34.94),
    ],
)
def test_real_price_files_are_read(name: str, region: str | None, start: str, intervals: int, first: float) -> None:
    series = read_prices(data_file(f"nem/{name}.parquet"), region)
    assert series.start_us == from_rfc3339(start)
    assert (series.price_per_mwh.size, series.price_per_mwh[0]) == (intervals, first)


def test_forecasts_are_not_taken_for_prices() -> None:
    with pytest.raises(InvalidInput, match="forecasts"):
        read_prices(data_file("nem/predispatchprice_5regions_2021-01-01_21.parquet"), "VIC1")
    with pytest.raises(InvalidInput, match="region is None"):
        read_prices(data_file("nem/dispatchprice_5regions_2021-01-01_21.parquet"))
