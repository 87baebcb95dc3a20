"""Times read and write exactly, and no clock runs backwards."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.clock import (
    MICROS_PER_DAY,
    MICROS_PER_S,
    ScaledClock,
    SystemClock,
    VirtualClock,
    from_rfc3339,
    interval_start_us,
    to_rfc3339,
)
from powerflock.domain.errors import InvalidInput


def test_rfc_3339_names_the_moment_whatever_its_offset() -> None:
    assert from_rfc3339("2026-01-01T00:00:00Z") == 1_767_225_600_000_000
    assert from_rfc3339("2026-01-01T10:00:00+10:00") == 1_767_225_600_000_000
    assert to_rfc3339(1_767_225_600_123_456) == "2026-01-01T00:00:00.123Z"


@given(st.integers(0, 4_102_444_800_000).map(lambda millis: millis * 1000))
def test_whole_milliseconds_survive_text(time_us: int) -> None:
    assert from_rfc3339(to_rfc3339(time_us)) == time_us


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_a_time_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="time is"):
        from_rfc3339(text)


@given(st.integers(-(10**15), 10**16), st.integers(1, MICROS_PER_DAY))
def test_every_moment_lies_in_its_half_open_interval(time_us: int, length_us: int) -> None:
    start = interval_start_us(time_us, length_us)
    assert start <= time_us < start + length_us
    assert start % length_us == 0


def test_a_scaled_clock_runs_as_many_times_faster() -> None:
    wall_us = time.time_ns() // 1000
    clock = ScaledClock(start_us=5 * MICROS_PER_DAY, wall_us=wall_us - 2 * MICROS_PER_S, speed=60.0)
    passed_us = clock.now_us() - 5 * MICROS_PER_DAY
    assert 120 * MICROS_PER_S <= passed_us < 720 * MICROS_PER_S


def test_a_virtual_clock_moves_only_forward_and_only_when_told() -> None:
    clock = VirtualClock(10)
    assert (clock.now_us(), clock.advance(5), clock.advance(0), clock.now_us()) == (10, 15, 15, 15)
    with pytest.raises(InvalidInput, match="backwards"):
        clock.advance(-1)


def test_the_system_clock_tells_the_machines_time() -> None:
    before_us = time.time_ns() // 1000
    assert before_us <= SystemClock().now_us() <= time.time_ns() // 1000
    assert SystemClock().speed == 1.0
