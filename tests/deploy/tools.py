"""Finds what `scripts/tools.sh` built and runs it; a tool that is absent skips the test, and fails it with CI=true."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.data import ROOT

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "powerflock"


def tool(name: str, *, made_by: str | None = None) -> Path:
    """The executable `name`, which `scripts/tools.sh` builds when asked for `made_by`, or for `name` itself."""
    path = ROOT / ".tools" / "bin" / name
    if path.is_file():
        return path
    reason = f"{path} is absent; `scripts/tools.sh {made_by or name}` builds it, where there is Go"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str | Path, stdin: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end, whatever that is."""
    return subprocess.run(
        [str(part) for part in command], input=stdin, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
