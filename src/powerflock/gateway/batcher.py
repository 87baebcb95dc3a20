"""Many sessions' readings into few log entries: columns per partition, checked and appended off the event loop.

Invariants: a submission is settled without an error only after the log has it durably; one write is under way at a
time, so a device's readings keep their order; memory is bounded by the sessions' credits, and nothing is dropped.
Must not know sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import msgspec
import numpy as np

from powerflock.domain.arrays import Records
from powerflock.domain.batches import Violation, encode, validate
from powerflock.domain.columns import TELEMETRY, TELEMETRY_SCHEMA, ReadingRow
from powerflock.domain.errors import LogError
from powerflock.gateway.protocol import Code, Error
from powerflock.gateway.session import GatewayOptions, Submission
from powerflock.log.port import Log

TOPIC = "telemetry"
_FIELDS = ReadingRow.__struct_fields__


class Batcher:
    """Collects submissions and writes them within `batch_ms`, or at once when `batch_rows` have come together.

    `settled(submission, error)` is called on the event loop for each submission, once.
    """

    def __init__(self, log: Log, options: GatewayOptions, settled: Callable[[Submission, Error | None], None]) -> None:
        self.waiting_rows = 0
        self._log, self._options, self._settled = log, options, settled
        self._pending: list[Submission] = []
        self._some, self._full = asyncio.Event(), asyncio.Event()
        self._stopping = False

    def add(self, submission: Submission) -> None:
        """Take a submission; to be called on the event loop. Once stopping, it is ignored and so never acknowledged."""
        if self._stopping:
            return
        self._pending.append(submission)
        self.waiting_rows += len(submission.rows)
        self._some.set()
        if self.waiting_rows >= self._options.batch_rows:
            self._full.set()

    def stop(self) -> None:
        """Let `run` write what is pending and return."""
        self._stopping = True
        self._some.set()
        self._full.set()

    async def run(self) -> None:
        """Write batches until stopped; a defect, unlike a failing log, is raised."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "gateway-log") as writer:
            while await self._gather():
                taken, self._pending, self.waiting_rows = self._pending, [], 0
                if not self._stopping:
                    self._some.clear()
                    self._full.clear()
                for submission, error in await loop.run_in_executor(writer, self._write, taken):
                    self._settled(submission, error)

    async def _gather(self) -> bool:
        """Wait for a batch's worth; `False` when stopped and nothing is left."""
        await self._some.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._full.wait(), self._options.batch_ms / 1000)
        return bool(self._pending) or not self._stopping

    def _write(self, taken: Sequence[Submission]) -> list[tuple[Submission, Error | None]]:
        """Append all that is valid, and say what became of each submission."""
        results: list[tuple[Submission, Error | None]] = []
        good: list[Submission] = []
        entries: list[tuple[str, int, bytes]] = []
        for partition in sorted({submission.partition for submission in taken}):
            mine = [submission for submission in taken if submission.partition == partition]
            records = to_records(mine)
            refused = refusals(mine, validate(records, TELEMETRY_SCHEMA))
            if refused:
                results += refused.items()
                mine = [submission for submission in mine if submission not in refused]
                records = to_records(mine)
            good += mine
            size = self._options.batch_rows
            entries += [
                (TOPIC, partition, encode(records[start : start + size])) for start in range(0, records.size, size)
            ]
        failure = None
        try:
            if entries:
                self._log.append_many(entries)
        except LogError as error:
            failure = Error(Code.LOG_UNAVAILABLE, f"the readings could not be logged: {error}", fatal=True)
        return results + [(submission, failure) for submission in good]


def to_records(submissions: Sequence[Submission]) -> Records:
    """The submissions' readings, one after another, as (N,) `TELEMETRY` records; unknown values are NaN."""
    loose = [submission for submission in submissions if isinstance(submission.rows, list)]
    records = _of_rows(loose)
    if len(loose) == len(submissions):
        return records
    parts, start = [], 0
    for submission in submissions:  # in the order they came: of two readings the later must not overtake
        part, size = submission.rows, len(submission.rows)
        if isinstance(part, list):
            part, start = records[start : start + size], start + size
        parts.append(part)
    return np.concatenate(parts)


def _of_rows(submissions: Sequence[Submission]) -> Records:
    """The same of submissions that all have rows: their cells in one sweep, then column by column."""
    rows = [row for submission in submissions for row in submission.rows]
    records: Records = np.empty(len(rows), TELEMETRY)
    cells = chain.from_iterable(map(msgspec.structs.astuple, rows))
    table = np.fromiter(cells, np.object_, len(rows) * len(_FIELDS)).reshape(len(rows), len(_FIELDS))
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which the range rule refuses
        for at, name in enumerate(_FIELDS):
            if name != "device":
                records[name] = table[:, at]
    records["device"] = [device for submission in submissions for device in submission.devices]
    sizes = [len(submission.rows) for submission in submissions]
    records["received_us"] = np.repeat([submission.received_us for submission in submissions], sizes)
    return records


def refusals(submissions: Sequence[Submission], violations: Sequence[Violation]) -> dict[Submission, Error]:
    """The error of each submission in which some rows of `to_records(submissions)` break a rule."""
    ends = np.cumsum([len(submission.rows) for submission in submissions])
    found: dict[int, list[tuple[int, Violation]]] = {}
    for violation in violations:
        owners = np.searchsorted(ends, violation.rows, side="right")
        for owner, row in zip(owners.tolist(), violation.rows.tolist(), strict=True):
            start = int(ends[owner]) - len(submissions[owner].rows)
            found.setdefault(owner, []).append((row - start, violation))
    return {submissions[owner]: _refusal(submissions[owner], broken) for owner, broken in found.items()}


def _refusal(submission: Submission, broken: Sequence[tuple[int, Violation]]) -> Error:
    row, violation = broken[0]
    device, seq, value = _said(submission, row, violation.column)
    text = (
        f"batch {submission.batch}, row {row} ({device}, seq {seq}): {violation.column} is "
        f"{value!r}; it {violation.bound}"
    )
    rows = sorted({row for row, _ in broken})
    return Error(Code.INVALID_READING, text, fatal=False, batch=submission.batch, rows=rows)


def _said(submission: Submission, row: int, column: str) -> tuple[str, int, object]:
    """Device, seq and a value of one reading, as it came."""
    if isinstance(submission.rows, list):
        reading = submission.rows[row]
        return reading.device, reading.seq, getattr(reading, column, submission.received_us)
    record, address = submission.rows[row], submission.session.address
    names = {number: name for name, number in address.devices.items()} if address is not None else {}
    return names[int(record["device"])], int(record["seq"]), record[column].item()
