"""Readings as columns are taken whole, exactly, and refused by name where they are not what they should be."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from powerflock.domain.batches import validate
from powerflock.domain.clock import VirtualClock
from powerflock.domain.columns import TELEMETRY_SCHEMA, ReadingRow
from powerflock.gateway.batcher import refusals, to_records
from powerflock.gateway.protocol import MSGPACK, Columns, Error, Hello, Readings
from powerflock.gateway.session import GatewayOptions, Session, Submission
from powerflock.gateway.tokens import issue
from tests.integration.gateway_device import SECRET, START_US, Homes, columns

ROWS = [
    ReadingRow("battery", 2**60 + 1, START_US, -1.25, 4.5, 3.0, None, 9.75),
    ReadingRow("meter", 8, START_US + 1, None, 5120.25),
    ReadingRow("meter", 9, START_US + 2, 0.1, None),
]


def session(version: int = 3, options: GatewayOptions | None = None) -> Session:
    made = Session("s", MSGPACK, VirtualClock(START_US), Homes(), SECRET, options or GatewayOptions())
    made.receive(MSGPACK.encode(Hello([version], "home-3", issue(SECRET, "home-3"))))
    return made


def taken(by: Session, message: Columns | Readings) -> Submission:
    result = by.receive(MSGPACK.encode(message))
    assert isinstance(result, Submission), result
    return result


def refused(message: Columns, by: Session | None = None) -> Error:
    result = (by or session()).receive(MSGPACK.encode(message))
    assert isinstance(result, Error), result
    return result


def test_columns_say_exactly_what_rows_say() -> None:
    by = session()
    as_columns, as_rows = to_records([taken(by, columns(1, ROWS))]), to_records([taken(by, Readings(2, ROWS))])
    assert as_columns.tobytes() == as_rows.tobytes()


def test_rows_and_columns_of_one_device_keep_their_order() -> None:
    by = session()
    batches = [taken(by, Readings(1, ROWS[:1])), taken(by, columns(2, ROWS[1:2])), taken(by, Readings(3, ROWS[2:]))]
    assert to_records(batches)["seq"].tolist() == [row.seq for row in ROWS]
    assert to_records(batches[1:2])["seq"].tolist() == [8]


def test_limits_left_out_are_unknown_and_not_zero() -> None:
    message = msgspec.structs.replace(columns(1, ROWS), charge_limit_kw=b"", capacity_kwh=b"")
    records = to_records([taken(session(), message)])
    assert np.isnan(records["charge_limit_kw"]).all()
    assert np.isnan(records["capacity_kwh"]).all()
    assert records["power_kw"][0] == -1.25


@pytest.mark.parametrize("name", ["seq", "power_kw", "capacity_kwh"])
def test_a_column_that_is_cut_or_too_long_is_named(name: str) -> None:
    whole = columns(41, ROWS)
    for wrong in (getattr(whole, name)[:-1], getattr(whole, name) + b"\0" * 8):
        error = refused(msgspec.structs.replace(whole, **{name: wrong}))
        assert error.code == "bad_frame"
        assert f"batch 41: column {name} has {len(wrong)} bytes; 3 readings" in error.message


def test_a_needed_column_cannot_be_left_out() -> None:
    assert "column power_kw has 0 bytes" in refused(msgspec.structs.replace(columns(1, ROWS), power_kw=b"")).message
    odd = columns(1, ROWS).device[:-1]
    assert "column device has 5 bytes" in refused(msgspec.structs.replace(columns(1, ROWS), device=odd)).message


def test_no_readings_are_no_batch() -> None:
    assert "batch 1 has no readings" in refused(columns(1, [])).message


def test_a_position_beyond_the_devices_is_refused_with_its_row() -> None:
    error = refused(msgspec.structs.replace(columns(5, ROWS), devices=["battery"]))
    assert "batch 5, row 1: device is 1; it must be a position among the 1 of devices" in error.message


def test_an_unknown_device_is_named_with_its_rows() -> None:
    error = refused(msgspec.structs.replace(columns(5, ROWS), devices=["battery", "wallbox"]))
    assert (error.code, error.batch, error.rows) == ("unknown_device", 5, [1, 2])
    assert "row 1: device 'wallbox' is unknown; the site has battery, meter" in error.message


def test_columns_take_credits_as_rows_do() -> None:
    by = session(options=GatewayOptions(credits=4))
    first = taken(by, columns(1, ROWS))
    assert refused(columns(2, ROWS), by).code == "over_credit"
    by.settle(first, None)
    taken(by, columns(2, ROWS))


def test_an_older_session_is_told_which_version_it_needs() -> None:
    error = refused(columns(1, ROWS), session(2))
    assert (error.code, error.fatal) == ("bad_frame", False)
    assert "columns need version 3; this session speaks 2" in error.message
    assert isinstance(session(2).receive(MSGPACK.encode(Readings(1, ROWS))), Submission)


def test_a_value_out_of_range_is_traced_to_its_device_seq_and_row() -> None:
    bad = [*ROWS, ReadingRow("battery", 7, START_US, 5e5, 1.0), ReadingRow("meter", 8, 12, 1.0, 1.0)]
    made = taken(session(), columns(6, bad))
    other = msgspec.structs.replace(made, rows=to_records([made])[:3])
    found = refusals([other, made], validate(to_records([other, made]), TELEMETRY_SCHEMA))
    assert list(found) == [made]
    assert found[made].rows == [3, 4]
    assert "batch 6, row 4 (meter, seq 8): time_us is 12; it must lie" in found[made].message
