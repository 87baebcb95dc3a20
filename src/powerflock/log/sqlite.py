"""The embedded log: one SQLite file in WAL mode, synced to disk at every commit.

Invariants: as the port's; writers queue on one connection, readers never wait for a writer's sync; a failed write
leaves the file as it was. Must not know what a payload means.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from powerflock.domain.errors import LogError
from powerflock.log.port import (
    Claim,
    Entry,
    Fenced,
    check_commit,
    check_place,
    check_read,
    check_transaction,
)

_APPLICATION = 0x50464C47  # "PFLG": tells our file from any other SQLite database
_FORMAT = 1
_BUSY_S = 30.0
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    "group" TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY ("group", topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    "group" TEXT PRIMARY KEY, member TEXT NOT NULL, epoch INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_END = "SELECT coalesce(max(offset) + 1, 0) FROM entries WHERE topic = ? AND partition = ?"


class SqliteLog:
    """The log in the file at `path`, made with its folders if absent.

    Raises `LogError` where the file is no log of ours, damaged, locked by another writer for long, or the disk full.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"log {self.path}: its folder cannot be made: {error}. Choose another path.") from error
        self._writer = self._connect()
        try:
            with self._errors():
                self._prepare()
            self._reader = self._connect()
        except LogError:
            self._writer.close()
            raise

    def append(self, topic: str, partition: int, payload: bytes) -> int:
        """See `Log.append`."""
        return self.transact([(topic, partition, payload)])[0]

    def append_many(self, entries: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """See `Log.append_many`."""
        return self.transact(entries)

    def transact(
        self,
        entries: Sequence[tuple[str, int, bytes]],
        commits: Sequence[tuple[str, str, int, int]] = (),
        claim: Claim | None = None,
    ) -> list[int]:
        """See `Log.transact`."""
        check_transaction(entries, commits, claim)
        with self._write_lock, self._errors(), self._transaction() as writer:
            if claim is not None:
                _check_claim(writer, claim)
            offsets = [_insert(writer, *entry) for entry in entries]
            for commit in commits:
                check_commit(commit, _integer(writer, _END, commit[1:3]))
                writer.execute("INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)", commit)
        return offsets

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Entry]:
        """See `Log.read`."""
        check_read(topic, partition, offset, limit)
        query = (
            "SELECT offset, payload FROM entries WHERE topic = ? AND partition = ? AND offset >= ? "
            "ORDER BY offset LIMIT ?"
        )
        with self._read_lock, self._errors():
            rows = self._reader.execute(query, (topic, partition, offset, limit)).fetchall()
        return [Entry(number, payload) for number, payload in rows]

    def newest(self, topic: str, partition: int, limit: int = 1) -> list[Entry]:
        """See `Log.newest`."""
        check_read(topic, partition, 0, limit)
        query = "SELECT offset, payload FROM entries WHERE topic = ? AND partition = ? ORDER BY offset DESC LIMIT ?"
        with self._read_lock, self._errors():
            rows = self._reader.execute(query, (topic, partition, limit)).fetchall()
        return [Entry(number, payload) for number, payload in reversed(rows)]

    def trim(self, topic: str, partition: int, before: int) -> None:
        """See `Log.trim`."""
        check_read(topic, partition, before, 1)
        with self._write_lock, self._errors(), self._transaction() as writer:
            keep = min(before, _integer(writer, _END, (topic, partition)) - 1)
            query = "DELETE FROM entries WHERE topic = ? AND partition = ? AND offset < ?"
            writer.execute(query, (topic, partition, keep))

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        check_place(topic, partition)
        with self._read_lock, self._errors():
            return _integer(self._reader, _END, (topic, partition))

    def committed(self, group: str, topic: str, partition: int) -> int:
        """See `Log.committed`."""
        check_place(topic, partition)
        query = 'SELECT coalesce(max(next), 0) FROM commits WHERE "group" = ? AND topic = ? AND partition = ?'
        with self._read_lock, self._errors():
            return _integer(self._reader, query, (group, topic, partition))

    def claim(self, group: str, member: str) -> Claim:
        """See `Log.claim`."""
        with self._write_lock, self._errors(), self._transaction() as writer:
            epoch = _epoch(writer, group) + 1
            writer.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (group, member, epoch))
        return Claim(group, member, epoch)

    def close(self) -> None:
        """See `Log.close`."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        with self._errors():
            return sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        application = _integer(self._writer, "PRAGMA application_id")
        version = _integer(self._writer, "PRAGMA user_version")
        empty = _integer(self._writer, "SELECT count(*) FROM sqlite_schema") == 0
        if not empty and (application, version) != (_APPLICATION, _FORMAT):
            raise LogError(
                f"log {self.path}: this SQLite file is not a Powerflock log of format {_FORMAT}. "
                "Choose another path, or open it with the version that wrote it."
            )
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute("PRAGMA wal_autocheckpoint = 4000")
        if empty:
            self._writer.executescript(_TABLES)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside, or nothing; the commit syncs the file."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as `LogError` with the path and what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise LogError(f"log {self.path}: {error}. {_remedy(error)}") from error


def _remedy(error: sqlite3.Error) -> str:
    remedies = {
        sqlite3.SQLITE_FULL: "Free space on its disk; nothing of this write was kept.",
        sqlite3.SQLITE_CORRUPT: "The file is damaged: move it away with its -wal and restore a copy.",
        sqlite3.SQLITE_NOTADB: "The file is damaged or no log: restore a copy in its place, or choose another path.",
        sqlite3.SQLITE_BUSY: "Another process keeps writing to it: stop that one first.",
        sqlite3.SQLITE_READONLY: "Give this user the right to write it, or choose another path.",
        sqlite3.SQLITE_CANTOPEN: "Check that it is a file which this user may read and write, or choose another path.",
    }
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if isinstance(error, sqlite3.ProgrammingError):
        return "It was closed: open it again."
    return remedies.get(code, "Check the disk and the file's rights, then open it again.")


def _integer(connection: sqlite3.Connection, query: str, parameters: Sequence[str | int] = ()) -> int:
    return int(connection.execute(query, parameters).fetchone()[0])


def _insert(writer: sqlite3.Connection, topic: str, partition: int, payload: bytes) -> int:
    offset = _integer(writer, _END, (topic, partition))
    writer.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (topic, partition, offset, payload))
    return offset


def _epoch(writer: sqlite3.Connection, group: str) -> int:
    return _integer(writer, 'SELECT coalesce(max(epoch), 0) FROM claims WHERE "group" = ?', (group,))


def _check_claim(writer: sqlite3.Connection, claim: Claim) -> None:
    epoch = _epoch(writer, claim.group)
    if claim.epoch != epoch:
        raise Fenced(claim, epoch)
