"""The plant's history: a historian in a thread of its own beside the ring, and the API's questions answered.

Invariants: nothing here stops a turn, and all that a turn waits for is one entry into the log: what fails is counted,
shown in health and metrics, and tried again.
Delta, DuckDB and what they need are imported by the thread, after the plant is up, or by the first question.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

from powerflock.api.series import ExportQuery, RevisionsQuery, SeriesQuery, SubjectQuery
from powerflock.api.series_models import RevisionRow, SeriesColumns
from powerflock.autobidder.records import Followers
from powerflock.compose.files import storage_of
from powerflock.compose.gauges import Gauge, prometheus
from powerflock.compose.parts import live_ages
from powerflock.domain.clock import MICROS_PER_S, Clock, from_rfc3339, to_rfc3339
from powerflock.domain.errors import PowerflockError
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.history.group_series import TOPIC, encode_groups
from powerflock.history.names import Directory
from powerflock.history.storage import Storage
from powerflock.history.words import GROUP, Device, Group, HistoryCounts, Span, Subject
from powerflock.log.port import Fenced, Log
from powerflock.plant.model import Turn
from powerflock.sections import HistorySettings
from powerflock.settings import Settings

if TYPE_CHECKING:
    from powerflock.history.query import History

LOGGER = logging.getLogger("powerflock")
_PAUSE_S, _STOP_S = 60.0, 10.0
NAME = "history"
"""What the history is called in the storage."""


def followers(settings: HistorySettings) -> Followers:
    """Whom the runner's trimming waits for."""
    return Followers((GROUP,), settings.lag_entries) if settings.enabled else Followers()


def history_of(settings: Settings, log: Log, clock: Clock) -> BackgroundHistory:
    """The plant's history, where its storage is; nothing runs yet.

    Readings that come later than a device is called silent were missing in the totals of their moment.
    """
    late_us = max(live_ages(settings).silent_after_us[:3])
    return BackgroundHistory(settings.history, log, storage_of(settings), clock, late_us)


class Known(Protocol):
    """Who is enrolled and in which groups."""

    @property
    def registry(self) -> Registry:
        """The sites."""

    @property
    def hierarchy(self) -> Hierarchy:
        """Their groups."""


class Plant(Protocol):
    """Whose history it is: the runner, or a process that follows the topics of others."""

    @property
    def ring(self) -> Known:
        """What is known of it."""

    def between_turns(self, look: Callable[[Known], None]) -> None:
        """Let `look` read while nothing changes."""


class BackgroundHistory:
    """The historian's thread, from `start` to `stop`; `offer` may be called from any thread."""

    def __init__(self, settings: HistorySettings, log: Log, storage: Storage, clock: Clock, late_us: int) -> None:
        """Nothing runs yet. A reading older than `late_us` when it comes revises its hour."""
        self._settings, self._log, self._clock, self._late_us = settings, log, clock, late_us
        self._uri, self._options = storage.uri(NAME), storage.delta_options()
        self.trouble = ""
        self._counts = HistoryCounts()
        self._failures = self._offered = 0
        self._behind = math.nan
        self._groups_us = -math.inf
        self._runner: Plant | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="historian", daemon=True)

    def start(self, runner: Plant) -> None:
        """Follow the log of this runner's plant."""
        self._runner = runner
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way; what is left in the log is taken at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def offer(self, turn: Turn) -> None:
        """Put the groups' rows of this turn into the log, if the last ones are old enough."""
        runner = self._runner
        if runner is None or turn.now_us - self._groups_us < self._settings.groups_every_s * MICROS_PER_S:
            return
        self._groups_us = turn.now_us
        try:
            offset = self._log.append(TOPIC, 0, encode_groups(turn, runner.ring.hierarchy))
            if self._offered % 100 == 0:  # the historian trims what it has; a dead one must not fill the disk
                self._log.trim(TOPIC, 0, max(offset - self._settings.lag_entries, 0))
            self._offered += 1
        except Exception as error:  # supervisor, as `_run`: the turn that called goes on whatever fails here
            LOGGER.exception("powerflock: groups could not be handed to the history")
            self._fail(error)

    def gauges(self) -> list[Gauge]:
        """Its numbers now."""
        totals = (
            ("rows_total", "Rows taken into the history", self._counts.rows),
            ("failures_total", "Steps that failed and were tried again", self._failures),
            ("missed_entries_total", "Log entries trimmed before they were read", self._counts.missed),
            ("refused_readings_total", "Readings of unknown devices or wrong clocks", self._counts.refused),
        )
        counted = [
            Gauge(f"powerflock_history_{name}", float(value), text, kind="counter") for name, text, value in totals
        ]
        return [
            *counted,
            Gauge("powerflock_history_behind_entries", float(self._behind), "Log entries not in the history yet"),
        ]

    def metrics(self) -> str:
        """Prometheus lines about the history."""
        return prometheus(self.gauges())

    def _run(self) -> None:
        """Keep a historian at work until told to stop; make a new one after a failure."""
        while not self._stopping.is_set():
            try:
                self._follow()
            except Fenced as error:
                self._fail(error)
                return
            except PowerflockError as error:
                self._fail(error)
                self._stopping.wait(self._settings.batch_s)
            except Exception as error:  # supervisor of the history: counted and shown; the plant goes on without it
                LOGGER.exception("powerflock: the historian failed")
                self._fail(error)
                self._stopping.wait(_PAUSE_S)

    def _follow(self) -> None:
        from powerflock.history.historian import Historian  # noqa: PLC0415 - Delta takes a second to import

        runner, own = self._runner, self._settings
        assert runner is not None, "started with a runner"

        def look(directory: Directory) -> None:
            runner.between_turns(lambda ring: directory.look(ring.registry, ring.hierarchy))

        historian = Historian(
            self._log, self._uri, self._options, Directory(runner.ring.registry.partitions), look,
            lambda: uuid.uuid4().hex, late_us=self._late_us, batch_rows=own.batch_rows, counts=self._counts,
        )  # fmt: skip
        kept = time.monotonic()
        while not self._stopping.is_set():
            rows = historian.step()
            self._behind, self.trouble = historian.behind(), ""
            if time.monotonic() - kept > own.compact_every_s:
                self._keep_up()
                kept = time.monotonic()
            self._stopping.wait(own.batch_s if rows < own.batch_rows else 0.0)

    def _keep_up(self) -> None:
        from powerflock.history.upkeep import compact, retain  # noqa: PLC0415 - as above

        now_us, own = self._clock.now_us(), self._settings
        retain(
            self._uri, self._options, now_us,
            readings_days=own.retention_days, series_days=own.series_retention_days,
        )  # fmt: skip
        compact(self._uri, self._options, now_us)

    def _fail(self, error: Exception) -> None:
        self.trouble = str(error)
        self._failures += 1
        LOGGER.warning("powerflock: %s", error)


class HistorySource:
    """The API's `SeriesSource` over the history in the storage."""

    def __init__(self, storage: Storage) -> None:
        """Nothing is opened before it is asked."""
        self._uri, self._options = storage.uri(NAME), storage.delta_options()

    def series(self, query: SeriesQuery) -> SeriesColumns:
        """See `SeriesSource`."""
        found = self._history().series(
            _subject(query), query.column, Span(*query.span_us), query.points, query.method,
            round(query.gap_s * MICROS_PER_S),
        )  # fmt: skip
        of = query.group if query.group is not None else f"{query.site}/{query.device}"
        return SeriesColumns(of, query.column, query.method, found.rows, found.time_us.tolist(), found.value.tolist())

    def export(self, query: ExportQuery) -> Generator[bytes, None, None]:
        """See `SeriesSource`."""
        from powerflock.history.export import encoded  # noqa: PLC0415 - Parquet takes a moment to import

        schema, batches = self._history().batches(_subject(query), Span(*query.span_us))
        yield from encoded(schema, batches, query.format)

    def revisions(self, query: RevisionsQuery) -> list[RevisionRow]:
        """See `SeriesSource`."""
        since_us = from_rfc3339(query.since) if query.since is not None else 0
        found = self._history().revisions(Span(*query.span_us), query.name, since_us)
        return [
            RevisionRow(
                row["scope"], row["name"], to_rfc3339(row["hour_us"]), to_rfc3339(row["revised_us"]), row["readings"]
            )
            for row in found.to_pylist()
        ]

    def _history(self) -> History:
        from powerflock.history.query import History  # noqa: PLC0415 - Delta and DuckDB take a second to import

        return History(self._uri, self._options)


def _subject(query: SubjectQuery) -> Subject:
    return Group(query.group) if query.group is not None else Device(query.site or "", query.device)
