"""Serve the console over the fake plant: `python -m tests.fake_server [--port 8080] [--speed 60] [--phase waiting]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

import powerflock.api
from powerflock.api.app import create_app
from tests.fake_view import FakeView, real_clock

STATIC = Path(powerflock.api.__file__).parent / "static"


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--phase", choices=["running", "waiting", "recovering"], default="running")
    asked = parser.parse_args()
    view = FakeView(now=real_clock(asked.speed), speed=asked.speed, phase=asked.phase)
    app = create_app(view, "fake-enrol-key", STATIC)
    uvicorn.run(app, host="127.0.0.1", port=asked.port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
