"""Many sessions' readings become columns exactly, and a bad row is traced to its batch."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from powerflock.domain.batches import validate
from powerflock.domain.clock import VirtualClock
from powerflock.domain.columns import TELEMETRY, TELEMETRY_SCHEMA, ReadingRow
from powerflock.gateway.batcher import Batcher, refusals, to_records
from powerflock.gateway.protocol import JSON, Error
from powerflock.gateway.session import GatewayOptions, Session, Submission
from tests.integration.gateway_device import SECRET, START_US, HeldLog, Homes

SESSION = Session("s", JSON, VirtualClock(START_US), Homes(), SECRET, GatewayOptions())


def submission(batch: int, powers: list[float | None], device: int = 7) -> Submission:
    rows = [ReadingRow("battery", batch * 10 + at, START_US, power, 2.0) for at, power in enumerate(powers)]
    return Submission(SESSION, batch, 0, [device] * len(rows), rows, START_US + batch)


def test_columns_hold_the_readings_in_order_and_unknown_as_nan() -> None:
    records = to_records([submission(1, [1.5, None]), submission(2, [-3.0], device=9)])
    assert records.dtype == TELEMETRY
    assert records["device"].tolist() == [7, 7, 9]
    assert records["seq"].tolist() == [10, 11, 20]
    assert records["received_us"].tolist() == [START_US + 1, START_US + 1, START_US + 2]
    np.testing.assert_array_equal(records["power_kw"], [1.5, np.nan, -3.0])
    assert np.isnan(records["capacity_kwh"]).all()
    assert to_records([]).size == 0


def test_bad_rows_are_traced_to_their_batch_and_position() -> None:
    batches = [submission(1, [0.0, 1.0]), submission(2, [5e5, 0.0, -5e5]), submission(3, [0.0]), submission(4, [1e9])]
    found = refusals(batches, validate(to_records(batches), TELEMETRY_SCHEMA))
    assert {made.batch: (error.batch, error.rows) for made, error in found.items()} == {2: (2, [0, 2]), 4: (4, [0])}
    assert "batch 2, row 0 (battery, seq 20): power_kw is 500000.0; it must lie between" in found[batches[1]].message


async def test_each_submission_is_settled_once_after_the_write_and_a_full_batch_does_not_wait() -> None:
    settled: list[tuple[int, Error | None]] = []
    log = HeldLog()
    options = GatewayOptions(batch_ms=60_000, batch_rows=3)
    batcher = Batcher(log, options, lambda made, error: settled.append((made.batch, error)))
    running = asyncio.create_task(batcher.run())
    log.gate.clear()
    batcher.add(submission(1, [0.0, 1.0]))
    batcher.add(submission(2, [0.0]))
    await asyncio.sleep(0.05)
    assert settled == []
    batcher.add(submission(3, [0.0]))
    log.gate.set()
    batcher.stop()
    batcher.add(submission(4, [0.0]))
    await asyncio.wait_for(running, 5)
    assert settled == [(1, None), (2, None), (3, None)]
    assert log.end("telemetry", 0) == 2


async def test_a_defect_in_writing_is_raised_not_swallowed() -> None:
    class Broken(HeldLog):
        def transact(self, *_: object) -> list[int]:
            raise ZeroDivisionError

    batcher = Batcher(Broken(), GatewayOptions(batch_ms=1), lambda *_: None)
    batcher.add(submission(1, [0.0]))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(batcher.run(), 5)
