"""A plant in a process of its own for the fleet's tests: real gateway, log on disk, and a minimal enrolment service.

Run as `python -m tests.integration.fleet_plant FOLDER API_PORT GATEWAY_PORT`; it commands every site once a second.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from powerflock.domain.clock import ScaledClock
from powerflock.domain.columns import COMMAND, Issuer
from powerflock.gateway.server import Gateway
from powerflock.gateway.session import GatewayOptions
from powerflock.gateway.tokens import issue
from powerflock.log.sqlite import SqliteLog

SECRET, KEY = b"a secret only for the tests", "enrol-key"
START_US, SPEED = 1_767_225_600_000_000, 300.0
SETPOINT_KW = -1.0


class Spot(NamedTuple):
    """A site's address."""

    partition: int
    row: int
    devices: dict[str, int]


class Registry:
    """Sites in order of enrolment, kept in a file so that a restarted plant knows them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.specs: dict[str, dict[str, object]] = json.loads(file.read_text()) if file.exists() else {}

    def enrol(self, specs: list[dict[str, object]]) -> dict[str, str]:
        self.specs |= {str(spec["site"]): spec for spec in specs}
        self.file.write_text(json.dumps(self.specs))
        return {str(spec["site"]): issue(SECRET, str(spec["site"])) for spec in specs}

    def resolve(self, site: str) -> Spot | None:
        if site not in self.specs:
            return None
        row = list(self.specs).index(site)
        return Spot(0, row, {"battery": 3 * row, "solar": 3 * row + 1, "meter": 3 * row + 2})


def serve_enrolment(registry: Registry, port: int) -> None:
    """POST /api/v1/sites, as documented, on a thread of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            right = self.headers["Authorization"] == f"Bearer {KEY}"
            tokens = registry.enrol(body["sites"]) if right else {}
            answer = {"tokens": tokens, "outcome": {"status": "applied", "applied": len(tokens), "reasons": {}}}
            payload = json.dumps(answer).encode()
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def commands(registry: Registry, seq: int, now_us: int) -> np.ndarray:
    """The same setpoint for every site, valid from now for ten minutes of the plant's time."""
    batch = np.zeros(len(registry.specs), dtype=COMMAND)
    batch["site"], batch["seq"], batch["setpoint_kw"] = np.arange(batch.size), seq, SETPOINT_KW
    batch["not_before_us"], batch["expires_us"] = now_us, now_us + 600_000_000
    batch["epoch"], batch["issuer"] = seq, Issuer.MARKET
    return batch


async def main(folder: Path, api_port: int, gateway_port: int) -> None:
    """Serve until killed; command acknowledgements are appended to `acks.jsonl`."""
    registry = Registry(folder / "registry.json")
    serve_enrolment(registry, api_port)
    clock = ScaledClock(START_US, int((folder / "clock").read_text()), SPEED)
    with (folder / "acks.jsonl").open("a", encoding="utf-8") as acks:

        def acked(site: str, _: object, ack: object) -> None:
            acks.write(json.dumps([site, str(getattr(ack, "status", "")), getattr(ack, "reason", "")]) + "\n")
            acks.flush()

        log = SqliteLog(folder / "log.sqlite")
        gateway = Gateway(log, registry, clock, SECRET, acked, GatewayOptions(batch_ms=20))
        await gateway.start("127.0.0.1", gateway_port)
        while True:
            await asyncio.sleep(1.0)
            gateway.send_commands(commands(registry, time.time_ns(), clock.now_us()), 0)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    home.mkdir(exist_ok=True)
    (home / "enrol.key").write_text(KEY)
    if not (home / "clock").exists():
        (home / "clock").write_text(str(time.time_ns() // 1000))
    asyncio.run(main(home, int(sys.argv[2]), int(sys.argv[3])))
