"""The database that a URL names: opened, brought to this program's version, its errors made ours.

Invariants: a write transaction on SQLite takes the file's lock at its beginning, so that what it read still holds when
it writes; on PostgreSQL rows are locked one by one. No message shows a password. Must not know what the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from powerflock.domain.errors import InvalidInput, RegistryError

VERSION = "0001"
"""This program's version of the database: the newest of `migrations/versions`."""
DIALECTS = ("sqlite", "postgresql")
_MIGRATING = 0x50464D47  # any number that nobody else's advisory lock in this database has
_BUSY_S = 30.0
_BEGIN = "powerflock_begin"


class Database:
    """The database at `url`: `sqlite:///PATH` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet; `InvalidInput` for a URL that names no such database."""
        try:
            parsed = make_url(url)
            self.shown = parsed.render_as_string(hide_password=True)
            if parsed.get_backend_name() not in DIALECTS:
                raise InvalidInput("registry.url", self.shown, f"must name one of {', '.join(DIALECTS)}")
            self._engine = create_engine(parsed, pool_pre_ping=True, json_serializer=_dumps, json_deserializer=_loads)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            bound = "must be sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
            remedy = "PostgreSQL needs powerflock[postgres]." if isinstance(error, ImportError) else ""
            raise InvalidInput("registry URL", "not shown", bound, remedy) from error
        self.embedded = parsed.get_backend_name() == "sqlite"
        if self.embedded:
            _tune(self._engine)
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self._writing = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing; a failing database raises `RegistryError`."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: everything inside, or nothing. A failing database raises `RegistryError`."""
        with self._errors(), self._writing.begin() as connection:
            yield connection

    def version(self) -> str | None:
        """The version that the database has; None for one without any."""
        with self.reading() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return version

    def migrate(self) -> str:
        """Bring the database to this program's version, one process at a time; returns it."""
        from powerflock.registry.upgrade import upgrade

        with self.writing() as connection:
            if not self.embedded:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            upgrade(connection, self.shown)
        return VERSION

    def check_version(self) -> None:
        """Raise `RegistryError` unless the database has this program's version; an embedded one is brought to it."""
        found = self.version()
        if found == VERSION:
            return
        if not self.embedded:
            raise RegistryError(
                f"registry {self.shown}: the database has version {found}, this program needs {VERSION}. "
                "Run `powerflock registry migrate` once."
            )
        self.migrate()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise RegistryError(f"registry {self.shown}: {cause}. Check that it runs and may be written.") from error


def _tune(engine: Engine) -> None:
    """SQLite as the log has it: WAL, synced at every commit, transactions begun by us and not by the driver."""

    def connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {int(_BUSY_S * 1000)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _dumps(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _loads(text: str) -> object:
    return msgspec.json.decode(text)
