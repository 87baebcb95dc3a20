"""What a benchmark returns, and how it measures: the median of several runs on one thread, after a warm-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: ours, and what it is held `against` in the same run. `ratio` says how many times better ours is."""

    metric: str
    value: float
    unit: str
    against: str | None = None
    against_value: float | None = None
    ratio: float | None = None


def more_is_better(metric: str, value: float, unit: str, against: str, against_value: float) -> Row:
    """A rate: `ratio` = ours / theirs."""
    return _row(metric, value, unit, against, against_value, value / against_value)


def less_is_better(metric: str, value: float, unit: str, against: str, against_value: float) -> Row:
    """A duration: `ratio` = theirs / ours."""
    return _row(metric, value, unit, against, against_value, against_value / value)


def _row(metric: str, value: float, unit: str, against: str, against_value: float, ratio: float) -> Row:
    return Row(metric=metric, value=value, unit=unit, against=against, against_value=against_value, ratio=ratio)


def median_s(
    work: Callable[[], object], runs: int, prepare: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:  # fmt: skip
    """Median seconds of `runs` ≥ 1 calls of `work` after one that is not counted; `prepare` is not timed.

    By `clock`; `time.process_time` is what work on one core costs, whatever else the machine does meanwhile.
    """
    seconds = []
    for _ in range(runs + 1):
        prepare()
        start = clock()
        work()
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])
