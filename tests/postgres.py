"""A PostgreSQL server of the tests' own: made in a temporary folder, on a Unix socket and a free port of loopback.

PostgreSQL refuses to run as root, so then it runs as `nobody`. Where it is not installed the tests that need it are
skipped with that reason; with `CI=true` they fail instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

INSTALLED = Path("/usr/lib/postgresql")


def absent(what: str, remedy: str) -> None:
    """Skip the test because `what` is not installed; with `CI=true` fail it."""
    reason = f"{what} is not installed: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[str]:
    """Run a server; yields the URL of its maintenance database."""
    found = sorted(INSTALLED.glob("*/bin/initdb"))
    if not found:
        absent("PostgreSQL", "as root, run 'apt-get install postgresql'")
    binaries, folder = found[-1].parent, Path(tempfile.mkdtemp(prefix="powerflock-pg-"))
    data, port = folder / "data", free_port()
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(binaries / program), *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)

    run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c max_connections=50 -c shared_buffers=16MB"
    run("pg_ctl", "-D", str(data), "-w", "-t", "90", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def new_database(maintenance_url: str) -> str:
    """The URL of an empty database on the server."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(maintenance_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return maintenance_url.removesuffix("/postgres") + f"/{name}"
