"""Readings take effect once, in whatever order and however often they arrive."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.columns import TELEMETRY, TELEMETRY_SCHEMA, SiteEventKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.schema import Column
from powerflock.twins.apply import ALL_SITES, FUTURE_US, desire, note, step
from powerflock.twins.columns import NEVER, Link, Shard, applied_kw, enrol
from powerflock.twins.snapshot import state_hash
from tests.unit.twins.fleet import NOW_US, batch_of, commands_of, events_of, home, reading, table_of

HOMES = [home("a"), home("b", battery=False), home("c", solar_kw=0.0)]
DEVICES = 7


def shard() -> Shard:
    return Shard.of(table_of(HOMES))


def test_a_reading_becomes_the_devices_state() -> None:
    twins = shard()
    report = step(twins, batch_of(reading(0, 1, -2.0, 6.5, limits=4.5)), NOW_US)
    assert (report.rows, report.applied) == (1, 1)
    assert twins.devices[0].item() == (1, NOW_US, 6.5, -2.0, 4.5, 4.5, pytest.approx(np.nan, nan_ok=True))
    assert twins.devices["seq"][1:].tolist() == [NEVER] * (DEVICES - 1)


def test_repeats_and_stragglers_are_dropped_and_counted_apart() -> None:
    twins = shard()
    step(twins, batch_of(reading(2, 5, 1.0)), NOW_US)
    report = step(twins, batch_of(reading(2, 5, 9.0), reading(2, 4, 8.0), reading(2, 6, 2.0)), NOW_US)
    assert (report.applied, report.duplicate, report.late) == (1, 1, 1)
    assert twins.devices["power_kw"][2] == 2.0


def test_bad_rows_are_refused_with_their_devices_and_the_good_ones_applied() -> None:
    twins = shard()
    batch = batch_of(
        reading(99, 1, 1.0),
        reading(1, 1, 1.0, time_us=NOW_US + FUTURE_US + 1),
        reading(2, 1, 1e9),
        reading(2, 2, 1e9),
        reading(3, 1, -1.0, limits=-5.0),
        reading(4, 1, 1.0, time_us=NOW_US + FUTURE_US),
    )
    report = step(twins, batch, NOW_US)
    assert (report.applied, report.unknown, report.future, report.invalid) == (1, 1, 1, 3)
    assert report.unknown_devices.tolist() == [99]
    assert report.future_devices.tolist() == [1]
    assert report.invalid_devices.tolist() == [2, 3]
    assert {violation.column for violation in report.violations} >= {"power_kw", "charge_limit_kw"}
    assert (twins.devices["seq"] >= 0).tolist() == [False, False, False, False, True, False, False]


@pytest.mark.parametrize("column", [column for column in TELEMETRY_SCHEMA.columns if column.name != "device"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_every_columns_range_is_kept_and_its_ends_belong_to_it(column: Column, end: str) -> None:
    sign = -1 if end == "low" else 1
    at_the_end, beyond = batch_of(reading(2, 1, 1.0)), batch_of(reading(2, 1, 1.0))
    at_the_end[column.name] = getattr(column, end)
    beyond[column.name] = at_the_end[column.name] + sign * max(1, abs(float(getattr(column, end))) / 1000)
    assert step(shard(), at_the_end, 2**62).applied == 1
    report = step(shard(), beyond, 2**62)
    assert (report.invalid, [violation.column for violation in report.violations]) == (1, [column.name])


@pytest.mark.parametrize(
    "column", [column for column in TELEMETRY_SCHEMA.columns if TELEMETRY[column.name].kind == "f"]
)
def test_unknown_is_taken_only_where_the_schema_says_what_it_means(column: Column) -> None:
    batch = batch_of(reading(2, 1, 1.0, 1.0, limits=1.0))
    batch[column.name] = np.nan
    assert step(shard(), batch, NOW_US).applied == bool(column.nan)


def test_a_reading_that_does_not_know_its_power_makes_it_unknown_not_zero() -> None:
    twins = shard()
    step(twins, batch_of(reading(0, 1, -2.0, 5.0)), NOW_US)
    step(twins, batch_of(reading(0, 2, np.nan, 5.0)), NOW_US)
    assert np.isnan(twins.devices["power_kw"][0])


def test_a_batch_of_another_shape_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dtype"):
        step(shard(), np.zeros(1, np.dtype([("device", "u4")])), NOW_US)


def test_an_empty_batch_and_an_empty_shard_are_fine() -> None:
    assert step(shard(), batch_of(), NOW_US).rows == 0
    assert step(Shard.empty(), batch_of(reading(0, 1, 1.0)), NOW_US).unknown == 1


def test_enrolment_adds_unseen_devices_and_keeps_what_the_others_said() -> None:
    twins = Shard.of(table_of(HOMES[:1]))
    step(twins, batch_of(reading(2, 3, 1.5)), NOW_US)
    enrol(twins, table_of(HOMES))
    assert twins.devices.size == DEVICES
    assert twins.devices["power_kw"][2] == 1.5
    assert np.isnan(twins.devices["power_kw"][3:]).all()
    with pytest.raises(InvalidInput, match="must begin with the 7 devices"):
        enrol(twins, table_of(HOMES[1:]))


streams = st.lists(
    st.tuples(
        st.integers(0, DEVICES - 1),
        st.integers(0, 30),
        st.one_of(st.just(np.nan), st.floats(-50.0, 50.0, width=32)),
    ),
    unique_by=lambda row: row[:2],
    max_size=40,
)


@given(streams, st.data())
def test_any_order_and_repetition_of_a_stream_ends_in_the_same_state(
    stream: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    rows = [reading(device, seq, power, seq * 1.5, time_us=NOW_US - 1000 + seq) for device, seq, power in stream]
    clean, messy = shard(), shard()
    step(clean, batch_of(*sorted(rows)), NOW_US)
    again = data.draw(st.lists(st.sampled_from(rows), max_size=20)) if rows else []
    shuffled = data.draw(st.permutations(rows + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=6)))
    parts = [shuffled[start:end] for start, end in pairwise([0, *cuts, len(shuffled)])]
    reports = [step(messy, batch_of(*part), NOW_US) for part in parts]
    assert state_hash(messy) == state_hash(clean)
    for report in reports:
        fates = (report.applied, report.duplicate, report.late, report.unknown, report.future, report.invalid)
        assert sum(fates) == report.rows


def test_what_a_kind_of_device_cannot_say_is_refused() -> None:
    twins = shard()
    report = step(twins, batch_of(reading(0, 1, 1.0, -3.0), reading(1, 1, 4.0), reading(2, 1, 4.0)), NOW_US)
    assert (report.applied, report.invalid_devices.tolist()) == (1, [0, 1])


def test_desired_applied_and_reported_are_told_apart() -> None:
    twins = shard()
    desire(twins, commands_of((0, 7, -2.0), (1, 7, 1.0)))
    assert np.isnan(applied_kw(twins.sites)).all()
    note(twins, events_of((0, SiteEventKind.APPLIED, 7), (1, SiteEventKind.REFUSED, 7)))
    assert applied_kw(twins.sites)[0] == -2.0
    assert np.isnan(applied_kw(twins.sites)[1])
    desire(twins, commands_of((0, 8, -3.0)))
    assert applied_kw(twins.sites)[0] == -2.0, "the older command holds until the newer one is confirmed"
    desire(twins, commands_of((0, 6, 9.0)))
    assert twins.sites["desired_kw"][0] == -3.0


def test_a_site_that_went_to_another_gateway_is_not_lost_when_the_old_one_notices() -> None:
    twins = shard()
    note(twins, events_of((0, SiteEventKind.LINK_UP, 5), (1, SiteEventKind.LINK_UP, 6), gateway=1))
    note(twins, events_of((0, SiteEventKind.LINK_UP, 9), gateway=2))
    note(twins, events_of((0, SiteEventKind.LINK_DOWN, 5), gateway=1))
    assert twins.sites["link"].tolist() == [Link.UP, Link.UP, Link.UNKNOWN]
    note(twins, events_of((ALL_SITES, SiteEventKind.LINK_DOWN, 0), gateway=1))
    assert twins.sites["link"].tolist() == [Link.UP, Link.DOWN, Link.UNKNOWN]


answers = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(2, 4)), unique_by=lambda row: row[:2])


@given(answers, st.data())
def test_any_order_and_repetition_of_answers_ends_in_the_same_state(
    rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    clean, messy = shard(), shard()
    events = [(site, SiteEventKind(kind), seq) for site, seq, kind in rows]
    note(clean, events_of(*sorted(events, key=lambda event: event[2])))
    again = data.draw(st.lists(st.sampled_from(events), max_size=9)) if events else []
    note(messy, events_of(*data.draw(st.permutations(events + again))))
    assert state_hash(messy) == state_hash(clean)
