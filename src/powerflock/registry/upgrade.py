"""Alembic, kept away from a start that needs no migration: its import takes half a second.

Must not know what the tables mean.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from powerflock.domain.errors import RegistryError

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, shown: str) -> None:
    """Bring the database of `connection` to the newest version; `shown` names it in a `RegistryError`."""
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise RegistryError(f"registry {shown}: {error}. It is of a newer version of Powerflock.") from error


def newest_version() -> str:
    """The newest version that `migrations` can make."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
