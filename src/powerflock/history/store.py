"""Delta tables in a folder or an object store: made, appended to once in effect, and opened for reading.

Invariants: an append carries the log offsets it covers as Delta's application transactions, in the same commit as its
rows, so they stand or fall together; of two writers that cover the same part of a log one is refused (`Overtaken`), and
nothing of it is seen. A `Table` learns of others' commits only by its own appends and by `reopen`: that is what makes
the refusal certain. Must not know what rows mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from powerflock.domain.errors import HistoryError, NotFound
from powerflock.history.tables import DAY, TableSpec

_CONFIGURATION = {"delta.checkpointInterval": "50", "delta.logRetentionDuration": "interval 1 days"}
"""An append every few seconds makes many log files: fold them often, and drop the old ones."""


class Overtaken(HistoryError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """Another writer changed the table meanwhile: nothing was written; reopen, look what is covered, and go on."""

    code = "overtaken"


@contextmanager
def delta_errors(uri: str) -> Iterator[None]:
    """What Delta, Arrow and the store raise, as our errors with the table's address."""
    try:
        yield
    except TableNotFoundError as error:
        raise NotFound(f"there is no history at {uri} yet. `powerflock up` writes one.") from error
    except CommitFailedError as error:
        raise Overtaken(f"history {uri}: {_first_line(error)} Another writer was faster; try again.") from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise HistoryError(f"history {uri}: {_first_line(error)} Check its disk or object store.") from error


class Table:
    """One table of the history at `uri`, for appending; `options` are deltalake's storage options."""

    def __init__(self, uri: str, options: Mapping[str, str], spec: TableSpec) -> None:
        """Make the table where it is absent."""
        self.spec, self._options, self._uri = spec, dict(options), place_of(uri, spec)
        with delta_errors(self._uri):
            _make_folder(self._uri)
            DeltaTable.create(
                self._uri,
                spec.schema,
                mode="ignore",
                partition_by=[DAY],
                configuration=_CONFIGURATION,
                storage_options=self._options,
            )
        self._table = self._open()

    def reopen(self) -> None:
        """See what others have committed."""
        self._table = self._open()

    def covered(self, app: str) -> int | None:
        """The last number that an append carried for `app`; None if none did."""
        with delta_errors(self._uri):
            return self._table.transaction_version(app)

    def append(self, rows: pa.Table, covers: Mapping[str, int]) -> None:
        """Write (N,) `rows` of the table's columns, and that they cover each app up to its number; or nothing.

        Raises `Overtaken` where another writer has covered one of these apps since the table was opened.
        """
        done = [Transaction(app, number) for app, number in covers.items()]
        with delta_errors(self._uri):
            write_deltalake(self._table, rows, mode="append", commit_properties=CommitProperties(app_transactions=done))

    def _open(self) -> DeltaTable:
        return open_table(self._uri, self._options)


def place_of(uri: str, spec: TableSpec) -> str:
    """The address of one table of the history at `uri`."""
    return f"{uri.rstrip('/')}/{spec.name}"


def open_table(uri: str, options: Mapping[str, str]) -> DeltaTable:
    """The newest version of the table at `uri`; `NotFound` where there is none."""
    with delta_errors(uri):
        return DeltaTable(uri, storage_options=dict(options))


def _make_folder(uri: str) -> None:
    """A local folder is made with those above it, as private as the plant's other data; a store needs none."""
    if "://" not in uri:
        Path(uri).mkdir(parents=True, exist_ok=True, mode=0o700)


def _first_line(error: Exception) -> str:
    """The first line of a library's message, as a sentence."""
    line = (str(error).splitlines() or [type(error).__name__])[0].strip()
    return line if line.endswith(".") else f"{line}."
