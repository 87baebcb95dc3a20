"""Where tests find real data: `$POWERFLOCK_DATA`, else `../shared/data` beside the project; never copied into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """The folder of real data; it need not exist."""
    named = os.environ.get("POWERFLOCK_DATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


def data_file(name: str) -> Path:
    """The real data file `name`, such as `homes/bondi_halfhourly.parquet`.

    Where it is absent the test is skipped with that reason; with `CI=true` it fails instead.
    """
    path = data_dir() / name
    if path.is_file():
        return path
    reason = f"real data file {path} is absent; set POWERFLOCK_DATA to the folder that holds {name}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
