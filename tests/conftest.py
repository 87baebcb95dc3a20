"""What every test gets: an environment without the developer's own settings, property tests that repeat, brokers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from tests import postgres, s3
from tests.kafka import brokers

hypothesis_settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis_settings.register_profile("dev", deadline=None)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's variables or data folder."""
    for name in list(os.environ):
        if name.startswith("POWERFLOCK_") and name != "POWERFLOCK_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real broker that every test may share: each takes topics with a prefix of its own.

    `KAFKA_SERVERS` names one that runs already, for a developer's patience.
    """
    if os.environ.get("KAFKA_SERVERS"):
        yield os.environ["KAFKA_SERVERS"]
        return
    brokers.require()
    with brokers.running(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster.bootstrap


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server for the whole run."""
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.Server]:
    """An S3 server for the whole run."""
    with s3.server() as running:
        yield running
