"""An S3 server of the tests' own: versitygw on a free port of loopback, over a temporary folder.

`scripts/tools.sh versitygw` builds it. Where it is not there the tests that need it are skipped with that reason; with
`CI=true` they fail instead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from powerflock.history.storage import Storage
from tests.data import ROOT
from tests.postgres import absent, free_port

PROGRAM = ROOT / ".tools" / "bin" / "versitygw"
ACCESS, SECRET = "powerflock-test", "only-for-tests"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, and the folder whose folders are its buckets."""

    endpoint: str
    folder: Path

    def storage(self) -> Storage:
        """A new bucket on it."""
        bucket = f"b{uuid.uuid4().hex}"
        (self.folder / bucket).mkdir()
        return Storage(
            Path("unused"), f"s3://{bucket}/deep/prefix", self.endpoint, "us-east-1", ACCESS, SECRET, allow_http=True
        )


@contextmanager
def server() -> Iterator[Server]:
    """Run a server until the block ends."""
    if not PROGRAM.is_file():
        absent("versitygw", "run 'scripts/tools.sh versitygw'")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="powerflock-s3-") as folder:
        environment = os.environ | {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        command = [str(PROGRAM), "--port", f"127.0.0.1:{port}", "--region", "us-east-1", "--quiet", "posix", folder]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(running, port)
            yield Server(f"127.0.0.1:{port}", Path(folder))
        finally:
            running.terminate()
            running.wait(30)


def _wait(running: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        assert running.poll() is None, f"versitygw ended with {running.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    msg = f"versitygw does not listen on port {port} after a minute"
    raise AssertionError(msg)
