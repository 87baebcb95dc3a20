"""Readings take effect once, in whatever order and however often they arrive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.errors import InvalidInput
from powerflock.twins.apply import FUTURE_US, step
from powerflock.twins.columns import NEVER, Shard, enrol
from powerflock.twins.snapshot import state_hash
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of

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
    cut = data.draw(st.integers(0, len(shuffled)))
    reports = [step(messy, batch_of(*part), NOW_US) for part in (shuffled[:cut], shuffled[cut:])]
    assert state_hash(messy) == state_hash(clean)
    for report in reports:
        fates = (report.applied, report.duplicate, report.late, report.unknown, report.future, report.invalid)
        assert sum(fates) == report.rows
