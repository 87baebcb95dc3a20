"""How long the demo takes to show live numbers when it is started again: real processes, watched through the REST API.

Live means a measured output of the plant: recovered, homes enrolled and connected, a reading of this start counted. The
ports are fixed for the run, because homes reconnect to where they were.
"""

from __future__ import annotations

import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.end_to_end import process
from benchmarks.rows import Row, less_is_better
from tests.kafka.brokers import free_ports

NAME = "start"
SUMMARY = "from the command to the first live number: the demo of 1,000 homes, first and started again"

HOMES = 1_000
RUNS, QUICK_RUNS = 5, 1
FIRST_LIMIT_S, AGAIN_LIMIT_S = 60.0, 5.0
_GIVE_UP_S = 90.0
_POLL_S = 0.02
RUN_S = 10


def run(*, quick: bool) -> list[Row]:
    """Rows: seconds to the first live number in an empty folder, and in one with a past."""
    with tempfile.TemporaryDirectory(prefix="powerflock-bench-") as name:
        folder = Path(name)
        port, door = map(str, free_ports(2))
        own = ["--data-dir", str(folder / "data"), "--port", port, "--gateway-port", door]
        command = [sys.executable, "-m", "powerflock", "up", "--demo", "--homes", str(HOMES), *own]
        url = f"http://127.0.0.1:{port}/api/v1/state"
        first_s = _live_after_s(command, folder / "first", url, stay_s=RUN_S)
        runs = range(QUICK_RUNS if quick else RUNS)
        again_s = median(_live_after_s(command, folder / f"again-{run}", url, stay_s=1.0) for run in runs)
    homes = f"{HOMES:,} homes"
    return [
        less_is_better(f"first start, {homes}", first_s, "s", "limit: a minute", FIRST_LIMIT_S),
        less_is_better(f"started again, {homes}", again_s, "s", "limit", AGAIN_LIMIT_S),
    ]


class _Output(msgspec.Struct, frozen=True):
    delivered_mw: float | None


class _State(msgspec.Struct, frozen=True):
    phase: str
    output: _Output


_STATE = msgspec.json.Decoder(_State)


def _live_after_s(command: list[str], folder: Path, url: str, stay_s: float) -> float:
    """Seconds from the command to a live number; the plant runs `stay_s` more and is then ended politely."""
    began = time.perf_counter()
    with process(command, folder, folder.parent) as (child, output):
        while not _live(url):
            if child.poll() is not None or time.perf_counter() - began > _GIVE_UP_S:
                raise RuntimeError(f"the plant did not come to life: {output.read_text()[-2000:]}")
            time.sleep(_POLL_S)
        spent = time.perf_counter() - began
        time.sleep(stay_s)
    return spent


def _live(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10.0) as answer:  # noqa: S310 - our own http address
            state = _STATE.decode(answer.read())
    except OSError:
        return False
    return state.phase == "running" and state.output.delivered_mw is not None
