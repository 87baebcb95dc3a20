"""Whether this machine can run a plant with the settings in use: each check tries the very thing the plant will do.

Invariants: every check leaves the machine as it was; a failed check says what to do. Must not start any part of the
plant.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from powerflock.domain.clock import SystemClock, from_rfc3339
from powerflock.settings import Settings

BUILT_AFTER_US = from_rfc3339("2026-01-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and the remedy where it failed."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All checks, in the order in which a plant would meet them; none raises."""
    return [
        check_python(),
        check_cores(),
        check_kernel_cache(),
        check_data_dir(settings.plant.data_dir),
        check_log(settings.plant.data_dir),
        check_port("port of the API", settings.api.host, settings.api.port),
        check_port("port of the gateway", settings.gateway.host, settings.gateway.port),
        check_page(Path(str(files("powerflock"))) / "api" / "static"),
        check_clock(SystemClock().now_us, time.monotonic_ns),
    ]


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Python 3.11 or newer."""
    found = ".".join(map(str, version))
    return Finding("python", version >= (3, 11), found, "" if version >= (3, 11) else "Install Python 3.11 or newer.")


def check_cores() -> Finding:
    """The cores this process may use; one is enough to run, so it never fails."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cores", ok=True, found=str(cores))


def check_kernel_cache() -> Finding:
    """Kernels are kept compiled beside the code or in `NUMBA_CACHE_DIR`; else each start compiles them again."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or str(files("powerflock")))
    problem = _unwritable(folder)
    remedy = "Set NUMBA_CACHE_DIR to a folder you may write to." if problem else ""
    return Finding("kernel cache", not problem, problem or str(folder), remedy)


def check_data_dir(data_dir: Path) -> Finding:
    """The data folder, or the nearest folder above it that exists, can be written to."""
    nearest = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    problem = _unwritable(nearest)
    remedy = "Set plant.data_dir (or --data-dir) to a folder you may write to." if problem else ""
    return Finding("data folder", not problem, problem or str(data_dir), remedy)


def check_log(data_dir: Path) -> Finding:
    """Existing databases of the data folder open and pass SQLite's quick check; a new plant has none yet."""
    found = sorted(data_dir.glob("*.sqlite*")) if data_dir.is_dir() else []
    databases = [path for path in found if not path.name.endswith(("-wal", "-shm"))]
    for path in databases:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as connection:
                answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            answer = str(error)
        if answer != "ok":
            return Finding("log", ok=False, found=f"{path}: {answer}", remedy="Restore the folder from a backup.")
    return Finding("log", ok=True, found=", ".join(path.name for path in databases) or "none yet")


def check_port(check: str, host: str, port: int) -> Finding:
    """The port can be bound now."""
    try:
        with closing(socket.create_server((host, port))):
            return Finding(check, ok=True, found=f"{host}:{port} is free")
    except OSError as error:
        return Finding(
            check, ok=False, found=f"{host}:{port}: {error.strerror}", remedy="Stop what uses it or choose another."
        )


def check_page(static: Path) -> Finding:
    """The page's build is there."""
    built = (static / "index.html").is_file()
    return Finding(
        "page", built, "built" if built else f"{static} has no index.html", "" if built else "Run `make up`."
    )


def check_clock(now_us: Callable[[], int], monotonic_ns: Callable[[], int], sample_s: float = 0.05) -> Finding:
    """The wall clock shows a plausible date and runs as fast as the monotonic clock."""
    before, start = now_us(), monotonic_ns()
    time.sleep(sample_s)
    drift_ms = abs((now_us() - before) * 1e-3 - (monotonic_ns() - start) * 1e-6)
    if before < BUILT_AFTER_US:
        return Finding(
            "clock", ok=False, found="shows a date before this software was written", remedy="Set the clock."
        )
    remedy = "" if drift_ms < 20 else "Let one time service alone (chrony, systemd-timesyncd) steer the clock."
    return Finding("clock", not remedy, f"differs by {drift_ms:.1f} ms in {sample_s * 1e3:.0f} ms", remedy)


def _unwritable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder}: {error.strerror}"
