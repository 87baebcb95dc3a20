"""Snapshots beside the turns: copied in the turn, made into bytes and written in another thread.

Invariants: no turn waits for a disk; one saving is under way at a time, and while it is the next one is left out, not
queued; a failed one is counted and shown, and the turns go on; only what was saved may shorten the log. Must not know
files, nor what the outlook has learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from powerflock.autobidder.records import Snapshots
from powerflock.domain.errors import PowerflockError
from powerflock.forecast.history import SLOT_US
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark, dump


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The shards as they stood at their marks, and the time and bytes of what was learned, where those are due."""

    shards: Sequence[tuple[Mark, Shard]]
    learned: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class Saved:
    """The marks of the shards that are durable now, how many failed, and why the last one did ("" if none)."""

    marks: tuple[Mark, ...]
    failed: int = 0
    trouble: str = ""


class Saving:
    """The savings of one owner: by the threads of `executor`, or within the turn where there is none."""

    def __init__(self, snapshots: Snapshots, executor: Executor | None) -> None:
        """Nothing under way."""
        self._snapshots, self._executor = snapshots, executor
        self._running: Future[Saved] | None = None
        self._learned_slot = -1
        self._begun_us = self.saved_us = 0
        """When the newest snapshot that is durable was taken; 0: none yet."""
        self.saved = self.failed = self.skipped = 0
        self.trouble = ""
        """Why the last saving failed; "" after a good one."""

    def due(
        self, now_us: int, copy: Callable[[], Sequence[tuple[Mark, Shard]]], learned: Callable[[], bytes]
    ) -> tuple[Mark, ...]:
        """Save what `copy` gives, and every half-hour what was `learned`; returns the marks saved since last asked.

        Left out, uncopied, and counted while the saving before it is still under way.
        """
        before = self.finished()
        if self._running is not None:
            self.skipped += 1
            return before
        new = None
        if now_us // SLOT_US != self._learned_slot:
            self._learned_slot = now_us // SLOT_US
            new = now_us, learned()
        self._begun_us = now_us
        self.begin(Copies(copy(), new))
        return (*before, *self.finished())

    def begin(self, copies: Copies) -> None:
        """Save the `copies`, which nobody may change any more."""
        assert self._running is None, "one saving at a time"
        if self._executor is not None:
            self._running = self._executor.submit(_save, self._snapshots, copies)
        else:
            self._running = Future()
            self._running.set_result(_save(self._snapshots, copies))

    def finished(self) -> tuple[Mark, ...]:
        """The marks saved since last asked; a defect of the saving is raised here."""
        if self._running is None or not self._running.done():
            return ()
        done, self._running = self._running.result(), None
        self.saved, self.failed, self.trouble = self.saved + len(done.marks), self.failed + done.failed, done.trouble
        if done.marks:
            self.saved_us = self._begun_us
        return done.marks


def _save(snapshots: Snapshots, copies: Copies) -> Saved:
    """Each by itself: one that fails does not keep the others from being saved."""
    marks: list[Mark] = []
    failures: list[str] = []
    for mark, shard in copies.shards:
        try:
            snapshots.save(mark, dump(shard, mark))
            marks.append(mark)
        except (OSError, MemoryError, PowerflockError) as error:
            failures.append(f"partition {mark.partition} was not saved: {_why(error)}")
    if copies.learned is not None:
        try:
            snapshots.save_outlook(*copies.learned)
        except (OSError, MemoryError, PowerflockError) as error:
            failures.append(f"what the outlook has learned was not saved: {_why(error)}")
    return Saved(tuple(marks), len(failures), failures[-1] if failures else "")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
