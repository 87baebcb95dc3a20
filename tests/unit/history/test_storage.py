"""The same settings lead snapshots and Delta tables to the same place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from powerflock.compose.files import storage_of
from powerflock.domain.errors import InvalidInput
from powerflock.history.storage import Storage
from powerflock.settings import load
from tests import s3

TABLE = pa.table({"site": ["a", "b"], "power_kw": [1.0, -2.0]})


def test_a_delta_table_is_written_and_read_in_the_object_store(s3_server: s3.Server) -> None:
    storage = s3_server.storage()
    for _ in range(2):
        write_deltalake(storage.uri("history"), TABLE, mode="append", storage_options=storage.delta_options())
    assert DeltaTable(storage.uri("history"), storage_options=storage.delta_options()).version() == 1


def test_a_local_folder_needs_no_options(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert (storage.uri("history"), storage.delta_options()) == (str(tmp_path / "history"), {})


def test_settings_and_key_files_become_a_storage_that_shows_no_key(tmp_path: Path) -> None:
    (tmp_path / "access").write_text("me\n")
    (tmp_path / "secret").write_text("hidden\n")
    files = {"storage.access_key_file": tmp_path / "access", "storage.secret_key_file": tmp_path / "secret"}
    given = {"storage.url": "s3://bucket/plant/", "storage.endpoint": "http://store:9000", "storage.allow_http": True}
    storage = storage_of(load(overrides=given | files).settings)
    assert storage.uri("history") == "s3://bucket/plant/history"
    options = storage.delta_options()
    assert (options["AWS_ENDPOINT_URL"], options["AWS_SECRET_ACCESS_KEY"]) == ("http://store:9000", "hidden")
    assert "hidden" not in repr(storage)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"storage.url": "ftp://bucket"}, r"storage\.url"),
        ({"storage.endpoint": "http://store:9000"}, "must be https"),
        ({"storage.access_key_file": "gone"}, "cannot be read"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        storage_of(load(overrides=given).settings)


def test_one_key_without_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="both given"):
        Storage(tmp_path, "s3://bucket", access_key="me")
