"""Batches survive the log bit for bit, and bad rows are named."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powerflock.domain.arrays import Records
from powerflock.domain.batches import decode, encode, validate
from powerflock.domain.columns import (
    COMMAND,
    COMMAND_ARROW,
    COMMAND_SCHEMA,
    SITE_EVENT,
    TELEMETRY,
    TELEMETRY_ARROW,
    TELEMETRY_SCHEMA,
)
from powerflock.domain.errors import InvalidInput
from powerflock.plant.owners import OWNER

TIME_US = 1_767_225_600_000_000


def readings(count: int) -> Records:
    records: Records = np.zeros(count, TELEMETRY)
    records["device"] = np.arange(count)
    records["time_us"] = TIME_US
    records["received_us"] = TIME_US
    return records


@pytest.mark.parametrize("dtype", [TELEMETRY, COMMAND])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_encode_then_decode_gives_the_same_bits(dtype: np.dtype[np.void], data: st.DataObject) -> None:
    raw = data.draw(hnp.arrays(np.uint8, st.integers(0, 20).map(lambda n: n * dtype.itemsize)))
    records = raw.view(dtype)
    assert decode(encode(records), dtype).tobytes() == records.tobytes()


@pytest.mark.parametrize("dtype", [TELEMETRY, COMMAND, SITE_EVENT, OWNER])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7, 10_000])
def test_a_batch_is_to_the_byte_what_arrow_itself_would_write(dtype: np.dtype[np.void], rows: int) -> None:
    pa = pytest.importorskip("pyarrow")
    raw = np.random.default_rng(rows).integers(0, 256, rows * dtype.itemsize, np.uint8)
    records = raw.view(dtype)
    names = dtype.names or ()
    batch = pa.RecordBatch.from_arrays([pa.array(np.ascontiguousarray(records[name])) for name in names], names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert encode(records) == sink.getvalue().to_pybytes()
    assert decode(encode(records), dtype).tobytes() == records.tobytes()


def test_batches_carry_the_published_arrow_schema() -> None:
    pa = pytest.importorskip("pyarrow")
    assert pa.ipc.open_stream(encode(np.zeros(1, TELEMETRY))).schema.equals(TELEMETRY_ARROW)
    assert pa.ipc.open_stream(encode(np.zeros(1, COMMAND))).schema.equals(COMMAND_ARROW)


def test_decoded_records_are_writable_and_own_their_memory() -> None:
    records = decode(encode(readings(3)), TELEMETRY)
    records["power_kw"] = np.nan
    assert np.isnan(records["power_kw"]).all()


@pytest.mark.parametrize(
    "payload", [b"", b"junk", encode(readings(5))[:-8], encode(readings(5))[60:], encode(readings(5))[:-60]]
)
def test_damaged_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput, match="Arrow IPC stream"):
        decode(payload, TELEMETRY)


def test_a_batch_of_another_kind_is_refused_by_its_columns() -> None:
    with pytest.raises(InvalidInput, match="setpoint_kw"):
        decode(encode(np.zeros(2, COMMAND)), TELEMETRY)


def test_good_rows_have_no_violations_and_nan_is_allowed_where_it_means_something() -> None:
    records = readings(4)
    for name in ("power_kw", "energy_kwh", "charge_limit_kw", "discharge_limit_kw", "capacity_kwh"):
        records[name] = np.nan
    assert validate(records, TELEMETRY_SCHEMA) == []
    assert validate(readings(0), TELEMETRY_SCHEMA) == []


def test_each_broken_rule_names_its_rows() -> None:
    records = readings(6)
    records["power_kw"][[1, 4]] = [np.inf, -2e5]
    records["power_kw"][2] = np.nan
    records["seq"][3] = -1
    records["time_us"][5] = TIME_US // 1000
    found = {
        (violation.rule, violation.column): violation.rows.tolist() for violation in validate(records, TELEMETRY_SCHEMA)
    }
    assert found == {("range", "power_kw"): [1, 4], ("range", "seq"): [3], ("range", "time_us"): [5]}


def test_a_setpoint_must_be_known_but_its_price_need_not() -> None:
    records: Records = np.zeros(2, COMMAND)
    records["not_before_us"] = records["expires_us"] = TIME_US
    records["price_per_kwh"] = np.nan
    records["setpoint_kw"][1] = np.nan
    (violation,) = validate(records, COMMAND_SCHEMA)
    assert (violation.rule, violation.column, violation.rows.tolist()) == ("nan", "setpoint_kw", [1])


def test_several_record_batches_in_one_stream_are_joined() -> None:
    pa = pytest.importorskip("pyarrow")
    records = readings(5)
    whole = pa.ipc.open_stream(encode(records)).read_all().to_batches()[0]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_batch(whole.slice(0, 2))
        writer.write_batch(whole.slice(2))
        writer.write_batch(whole.slice(5))
    assert decode(sink.getvalue().to_pybytes(), TELEMETRY).tobytes() == records.tobytes()


def test_nulls_from_another_writer_are_refused_not_read_as_numbers() -> None:
    pa = pytest.importorskip("pyarrow")
    columns = [pa.array([None, 1], field.type) for field in TELEMETRY_ARROW]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TELEMETRY_ARROW) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=TELEMETRY_ARROW))
    with pytest.raises(InvalidInput, match="must hold no nulls"):
        decode(sink.getvalue().to_pybytes(), TELEMETRY)


def test_the_first_batch_does_not_pay_for_importing_pandas() -> None:
    code = (
        "import sys, numpy as np\n"
        "from powerflock.domain.batches import decode, encode\n"
        "from powerflock.domain.columns import TELEMETRY\n"
        "decode(encode(np.zeros(3, TELEMETRY)), TELEMETRY)\n"
        "print('pandas' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
