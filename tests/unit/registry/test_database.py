"""A database that cannot be used is named, without its password, and with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from powerflock.domain.errors import InvalidInput, RegistryError
from powerflock.registry.database import VERSION, Database
from powerflock.registry.store import Store
from powerflock.registry.upgrade import newest_version
from tests import postgres


@pytest.mark.parametrize("url", ["mysql://me:secret@db/x", "sqlite", "", "nothing://me:secret@x", "sqlite+x:///y"])
def test_a_url_of_no_database_that_fits_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="registry") as refused:
        Database(url)
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    database = Database(f"postgresql+psycopg://me:secret@127.0.0.1:{postgres.free_port()}/plant")
    with pytest.raises(RegistryError, match=r"registry postgresql\+psycopg://me:\*\*\*@127") as refused:
        database.version()
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "registry.sqlite"
    file.write_bytes(b"not a database" * 1000)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(RegistryError, match=r"registry\.sqlite: file is not a database"):
        database.migrate()
    database.close()
    assert file.read_bytes() == b"not a database" * 1000


def test_a_shared_database_is_migrated_by_command_and_an_embedded_one_by_itself(
    postgres_server: str, tmp_path: Path
) -> None:
    shared = Database(postgres.new_database(postgres_server))
    with pytest.raises(RegistryError, match="Run `powerflock registry migrate` once"):
        Store(shared, 1, lambda: 0)
    shared.migrate()
    assert Store(shared, 1, lambda: 0).ends() == [(0, 0, 1)]
    shared.close()
    embedded = Database(f"sqlite:///{tmp_path}/deep/registry.sqlite")
    assert Store(embedded, 1, lambda: 0).ends() == [(0, 0, 1)]
    embedded.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/registry.sqlite")
    database.migrate()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError, match="newer version of Powerflock"):
        Store(database, 1, lambda: 0)
    assert database.version() == "9999"
    database.close()


def test_the_version_a_start_compares_is_the_one_the_migrations_make() -> None:
    assert newest_version() == VERSION
