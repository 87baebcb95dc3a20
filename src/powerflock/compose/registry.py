"""The registry's database out of the settings, and the runner's registrar on it."""

from __future__ import annotations

from collections.abc import Callable

from powerflock.autobidder.enrolment import Registrar
from powerflock.domain.errors import InvalidInput
from powerflock.log.port import Log
from powerflock.registry.database import Database
from powerflock.registry.outbox import DatabaseRegistrar, Outbox
from powerflock.registry.store import Store
from powerflock.settings import Settings


def registry_url(settings: Settings) -> str:
    """The URL of the database: from its file, else as given, else in the data folder.

    What operators of PostgreSQL hand out, `postgres://` or `postgresql://`, is taken with the driver that we have.
    """
    given = settings.registry
    if given.url_file is None:
        return _with_driver(given.url) or f"sqlite:///{settings.plant.data_dir.absolute() / 'registry.sqlite'}"
    try:
        return _with_driver(given.url_file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("registry.url_file", str(given.url_file), f"cannot be read: {error}") from error


def _with_driver(url: str) -> str:
    scheme, apart, rest = url.partition("://")
    return f"postgresql+psycopg{apart}{rest}" if scheme in {"postgres", "postgresql"} else url


def registry_store(settings: Settings, now_us: Callable[[], int]) -> Store:
    """The registry of this plant."""
    return Store(Database(registry_url(settings)), settings.plant.partitions, now_us)


def registrar_of(settings: Settings, log: Log, now_us: Callable[[], int]) -> Registrar | None:
    """The runner's registrar; none where the log forgets at the end, for then the sites go with it."""
    if settings.log.url == "memory:" and not settings.registry.url and settings.registry.url_file is None:
        return None
    store = registry_store(settings, now_us)
    return DatabaseRegistrar(store, Outbox(store, log))
