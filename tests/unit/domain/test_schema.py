"""The generated types and page say what `schema/` says, and going stale is noticed."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest

from powerflock.domain import columns

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_schema", ROOT / "scripts" / "generate_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_schema"] = module
    spec.loader.exec_module(module)
    return module


def test_committed_code_and_page_are_what_the_schema_generates(generator: ModuleType) -> None:
    assert generator.stale(generator.render(generator.load())) == []


def test_an_altered_schema_is_noticed_in_both_files(generator: ModuleType) -> None:
    source = generator.load()
    telemetry, *others = source.tables
    widened = dataclasses.replace(telemetry.columns[4], range=(-2e5, 2e5))
    altered = dataclasses.replace(telemetry, columns=(*telemetry.columns[:4], widened, *telemetry.columns[5:]))
    files = generator.render(dataclasses.replace(source, tables=(altered, *others)))
    assert set(generator.stale(files)) == set(files)


def test_a_missing_generated_file_is_noticed(generator: ModuleType, tmp_path: Path) -> None:
    files = generator.render(generator.load())
    assert generator.stale(files, tmp_path) == list(files)


def test_the_page_gives_every_column_its_unit_range_and_meaning_of_nan(generator: ModuleType) -> None:
    page = (ROOT / generator.PAGE).read_text(encoding="utf-8")
    for table in generator.load().tables:
        for column in table.columns:
            start = f"| `{column.name}` | {column.dtype} |"
            line = next(line for line in page.splitlines() if line.startswith(start) and column.description in line)
            assert (column.unit or "–") in line
            assert (column.sign or "–") in line
            assert (column.nan or "refused") in line


def test_numpy_arrow_and_rules_agree_on_names_and_order() -> None:
    for dtype, arrow, schema in (
        (columns.TELEMETRY, columns.TELEMETRY_ARROW, columns.TELEMETRY_SCHEMA),
        (columns.COMMAND, columns.COMMAND_ARROW, columns.COMMAND_SCHEMA),
    ):
        names = dtype.names or ()
        assert list(names) == arrow.names == [column.name for column in schema.columns]
        assert [dtype[name] for name in names] == [np.dtype(f"<{column.dtype}") for column in schema.columns]
        assert dtype.itemsize == sum(int(dtype[name].itemsize) for name in names)


def test_wire_rows_refuse_unknown_fields_and_keep_unknown_apart_from_zero() -> None:
    row = msgspec.json.decode(
        b'{"device":"meter","seq":1,"time_us":2,"power_kw":null,"energy_kwh":0}', type=columns.ReadingRow
    )
    assert row.power_kw is None
    assert row.energy_kwh == 0.0
    with pytest.raises(msgspec.ValidationError, match="volts"):
        msgspec.json.decode(
            b'{"device":"meter","seq":1,"time_us":2,"power_kw":1,"energy_kwh":0,"volts":230}', type=columns.ReadingRow
        )


def test_kinds_and_issuers_have_wire_names() -> None:
    assert [kind.wire for kind in columns.DeviceKind] == ["battery", "solar", "meter", "ev_charger", "load"]
    assert [issuer.wire for issuer in columns.Issuer] == ["safety", "network", "owner", "market"]
