"""NEM12 meter data: net load is imports less exports, and a file that breaks the format is refused by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.clock import from_rfc3339
from powerflock.domain.errors import InvalidInput
from powerflock.sim.nem12 import read_nem12
from powerflock.sim.sources import load_homes
from tests.data import data_file

HEAD, END = "100,NEM12,200405011135,MDA1,Ret1", "900"


def channel(register: str, unit: str = "kWh", minutes: int = 30, nmi: str = "NMI1") -> str:
    return f"200,{nmi},E1B1,1,{register},N1,METER,{unit},{minutes},"


def day(value: float, date: str = "20250101", quality: str = "A", count: int = 48) -> str:
    return f"300,{date}," + ",".join([str(value)] * count) + f",{quality},,,20250102000000,"


def write(folder: Path, *lines: str) -> Path:
    file = folder / "meter.csv"
    file.write_bytes("\r\n".join(lines).encode())
    return file


def test_net_load_is_imports_less_exports_in_market_time(tmp_path: Path) -> None:
    file = write(
        tmp_path, HEAD, channel("E1"), day(1.0), channel("B1", "Wh", 15), day(250.0, count=96), channel("Q1", "kVArh"),
        day(9.0), END,
    )  # fmt: skip
    fleet = load_homes(file, 0, 0, 0)
    assert fleet.profiles.start_us == from_rfc3339("2025-01-01T00:00:00+10:00")
    assert fleet.profiles.load_kw[0].tolist() == pytest.approx([1.0] * 288)
    assert (fleet.specs[0].site, fleet.specs[0].solar_kw) == ("NMI1", 0.0)


def test_substituted_values_are_used_and_said(tmp_path: Path) -> None:
    ranges = ["400,1,20,F14,76,", "400,21,24,A,,", "400,25,48,S14,1,"]
    fleet = read_nem12(write(tmp_path, HEAD, channel("E1"), day(1.0, quality="V"), *ranges, END))
    assert "92% of values not read but substituted" in fleet.source


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([channel("E1"), day(1.0), END], "line 1: first record"),
        ([HEAD, channel("E1"), day(1.0)], "must be 900"),
        ([HEAD, day(1.0), END], "line 2: 300 record .* must follow a 200"),
        ([HEAD, channel("E1", "MJ"), day(1.0), END], "line 2: unit of E1 is 'MJ'"),
        ([HEAD, channel("E1", minutes=10), day(1.0), END], "line 2: interval length is '10'"),
        ([HEAD, channel("E1"), day(1.0, count=47), END], "line 3: "),
        ([HEAD, channel("E1"), day(-1.0), END], "line 3: value 1 is '-1.0'"),
        ([HEAD, channel("E1"), day(1.0, date="20250230"), END], "line 3: interval date"),
        ([HEAD, channel("E1"), day(1.0, quality="N"), END], "line 3: quality is 'N'"),
        ([HEAD, channel("E1"), day(1.0), day(1.0), END], "line 4: day of NMI1 E1 is '20250101'; must appear once"),
        ([HEAD, channel("E1"), day(1.0), day(1.0, date="20250103"), END], "NMI1 E1 on is '2025-01-02'"),
        ([HEAD, channel("E1"), day(1.0, quality="V"), "400,1,20,A,,", END], "line 5: 400 records .* is 20"),
        ([HEAD, channel("E1"), day(1.0, quality="V"), "400,2,48,A,,", END], "line 4: range of the 400"),
        ([HEAD, channel("Q1", "kVArh"), day(1.0), END], "no E or B channel"),
        ([HEAD, "250,x", END], "line 2: record indicator is '250'"),
        ([HEAD, channel("E1"), day(1.0), channel("E1", nmi="NMI2"), day(1.0, date="20250105"), END], "NMI2"),
    ],
)
def test_a_fault_in_a_meter_file_is_named_by_its_line(tmp_path: Path, lines: list[str], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        read_nem12(write(tmp_path, *lines))


@pytest.mark.parametrize(
    ("name", "homes", "days", "net_kwh"),
    [
        ("actual_interval", 1, 1, 48 * 1.111),
        ("substituted_interval", 1, 1, 48 * 2.312),
        ("multiple_quality", 1, 1, 896.99),
    ],
)
def test_real_meter_files_keep_their_energy(name: str, homes: int, days: int, net_kwh: float) -> None:
    fleet = read_nem12(data_file(f"meter/Example_NEM12_{name}.csv"))
    assert (len(fleet.specs), fleet.profiles.days) == (homes, days)
    assert fleet.profiles.load_kw.sum() / 12.0 == pytest.approx(net_kwh, rel=1e-5)


def test_a_real_month_with_solar_exports_by_day(tmp_path: Path) -> None:
    fleet = read_nem12(data_file("meter/Example_NEM12_month_solar.csv"))
    assert fleet.profiles.days == 31
    by_hour = fleet.profiles.load_kw[0].reshape(31, 24, 12).mean(axis=(0, 2))
    assert by_hour[12] < 0.0 < by_hour[20]


def test_a_real_file_with_several_meters_makes_a_home_of_each() -> None:
    fleet = read_nem12(data_file("meter/Example_NEM12_multiple_meters.csv"))
    assert [spec.site for spec in fleet.specs] == ["NCDE001111", "NDDD001888"]
    assert np.isfinite(fleet.profiles.load_kw).all()
