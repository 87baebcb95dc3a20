"""The demo's simulated homes: `powerflock fleet` in a process of its own, started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from powerflock.compose.files import PlantFiles
from powerflock.domain.errors import InvalidInput
from powerflock.settings import Settings

_log = logging.getLogger("powerflock")
BAD_INPUT = 2
_PAUSE_S = 2.0
_PATIENCE_S = 5.0


class HomesProcess:
    """A child that speaks the public protocol like any other fleet, and does not outlive even a killed plant."""

    def __init__(self, settings: Settings, files: PlantFiles, homes: int, seed: int, homes_file: Path | None) -> None:
        """What it is started with; nothing runs yet."""
        source = ["--homes", str(homes)] if homes_file is None else ["--homes-file", str(homes_file)]
        self._command = [
            sys.executable, "-m", "powerflock", "fleet", *source, "--seed", str(seed),
            "--url", f"ws://{settings.gateway.host}:{settings.gateway.port}/v1",
            "--api", f"http://{settings.api.host}:{settings.api.port}",
            "--enrol-key-file", str(files.enrol_key_file), "--period-s", str(settings.plant.tick_s),
            "--leash", "--state", str(files.folder / "homes.npz"),
        ]  # fmt: skip
        self._child: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Start the homes, and again whenever they stop by themselves; `InvalidInput` where they can never start."""
        while True:
            self._child = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
            code = await self._child.wait()
            if code == BAD_INPUT:
                raise InvalidInput(
                    "the demo's homes", " ".join(self._command[4:6]), "were refused: the reason is above"
                )
            _log.warning("powerflock: the simulated homes stopped with code %d; starting them again", code)
            await asyncio.sleep(_PAUSE_S)

    async def stop(self) -> None:
        """End the child politely, then by force."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _PATIENCE_S)
        except TimeoutError:
            child.kill()
            await child.wait()
