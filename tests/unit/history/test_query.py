"""Questions to the past: the right rows, unknown as a gap, and a refusal that says what can be asked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from powerflock.domain.clock import MICROS_PER_DAY
from powerflock.domain.errors import HistoryError, InvalidInput, NotFound
from powerflock.history.export import Format, encoded
from powerflock.history.query import History
from powerflock.history.words import Device, Group, Span
from tests.unit.history.past import DAY_US, EVER, HOUR_US, METER, Past
from tests.unit.plant.small import START_US

MINUTE_US = 60_000_000


@pytest.fixture
def past(tmp_path: Path) -> Past:
    """A day of minutes of one meter: a ramp, with two unknown hours."""
    past = Past(tmp_path, batch_rows=100_000)
    power = np.arange(1440, dtype=np.float64)
    power[600:720] = np.nan
    past.report("h0", [START_US + minute * MINUTE_US for minute in range(1440)], power.tolist())
    past.historian().step()
    return past


def test_a_mean_is_of_the_known_rows_and_unknown_where_there_are_none(past: Past) -> None:
    day = Span(START_US, START_US + 2 * DAY_US)
    series = past.history.series(METER, "power_kw", day, 48, "mean")
    assert series.time_us.tolist() == [START_US + hour * HOUR_US for hour in range(48)]
    expected = np.arange(48) * 60 + 29.5
    expected[10:12] = np.nan
    expected[24:] = np.nan
    np.testing.assert_allclose(series.value, expected)
    assert series.rows == 1440


def test_downsampling_keeps_the_extremes_and_shows_the_gap(past: Past) -> None:
    series = past.history.series(METER, "power_kw", EVER, 40, "minmax")
    assert series.time_us.size <= 40
    assert (np.nanmin(series.value), np.nanmax(series.value)) == (0.0, 1439.0)
    assert np.isnan(series.value).sum() == 1


def test_a_span_is_half_open(past: Past) -> None:
    span = Span(START_US + MINUTE_US, START_US + 3 * MINUTE_US)
    assert past.history.series(METER, "power_kw", span, 10, "raw").value.tolist() == [1.0, 2.0]


def test_nobody_there_is_an_empty_series(past: Past) -> None:
    for subject in (Device("nobody"), Group("nowhere")):
        assert past.history.series(subject, "power_kw", EVER, 10, "minmax").time_us.size == 0


def test_a_question_that_cannot_be_answered_is_refused_by_name(past: Past) -> None:
    with pytest.raises(InvalidInput, match="column is 'price_per_kwh'; must be one of power_kw"):
        past.history.series(METER, "price_per_kwh", EVER, 10, "raw")
    with pytest.raises(InvalidInput, match="points is 3"):
        past.history.series(METER, "power_kw", EVER, 3, "raw")
    with pytest.raises(InvalidInput, match="more than 100"):
        past.history.series(METER, "power_kw", EVER, 100, "raw")
    with pytest.raises(InvalidInput, match="after its beginning"):
        Span(5, 5)


def test_without_a_history_the_answer_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no history at"):
        History(str(tmp_path)).series(METER, "power_kw", EVER, 10, "raw")


def test_a_damaged_file_is_an_error_of_the_history(past: Past) -> None:
    for file in Path(past.uri, "readings").glob("day=*/*.parquet"):
        file.write_bytes(b"no parquet")
    with pytest.raises(HistoryError, match="readings"):
        past.powers()


def test_other_days_files_are_not_opened(past: Past) -> None:
    past.report("h0", [START_US + 5 * DAY_US], [3.0])
    past.historian().step()
    for file in Path(past.uri, "readings", "day=2026-01-14").glob("*.parquet"):
        file.unlink()
    later = Span((START_US // MICROS_PER_DAY + 5) * MICROS_PER_DAY, START_US + 6 * DAY_US)
    assert past.history.series(METER, "power_kw", later, 10, "raw").value.tolist() == [3.0]


def read(kind: Format, data: bytes) -> pa.Table:
    if kind == "arrow":
        return pa.ipc.open_stream(data).read_all()
    return pa.parquet.read_table(io.BytesIO(data)) if kind == "parquet" else pa.csv.read_csv(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["arrow", "parquet", "csv"])
def test_an_export_has_every_row_and_column(past: Past, kind: Format) -> None:
    schema, batches = past.history.batches(METER, EVER)
    table = read(kind, b"".join(encoded(schema, batches, kind)))
    assert table.num_rows == 1440
    assert table.schema.names == [
        "site", "device", "seq", "time_us", "received_us",
        "power_kw", "energy_kwh", "charge_limit_kw", "discharge_limit_kw", "capacity_kwh",
    ]  # fmt: skip
    power = table["power_kw"].to_numpy()
    assert np.isnan(power[600:720]).all()
    np.testing.assert_array_equal(power[720:], np.arange(720, 1440))


@pytest.mark.parametrize("kind", ["arrow", "parquet", "csv"])
def test_an_export_of_nothing_is_a_whole_file(past: Past, kind: Format) -> None:
    schema, batches = past.history.batches(Device("nobody"), EVER)
    assert read(kind, b"".join(encoded(schema, batches, kind))).num_rows == 0


def test_an_export_comes_in_pieces(past: Past) -> None:
    schema, _ = past.history.batches(METER, EVER)
    rows = pa.RecordBatch.from_pylist(past.history.batches(METER, EVER)[1].__next__().slice(0, 5).to_pylist(), schema)
    pieces = encoded(schema, iter([rows] * 3), "csv")
    assert len(list(pieces)) >= 3
