"""What simulated homes remember across a restart: the energy in their batteries, their registers, their sequences.

Invariants: the file is whole or absent (written beside and renamed); homes that are not the same homes start anew. Must
not know sessions or the plant.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from powerflock.domain.errors import InvalidInput
from powerflock.sim.fleet import SimFleet

Memory = dict[str, np.ndarray]
"""Columns by name; `sites` are the homes' ids."""
_COLUMNS = ("stored_kwh", "import_kwh", "export_kwh", "solar_kwh", "battery_kwh", "throughput_kwh", "seq")


def remember(file: Path, fleet: SimFleet) -> None:
    """Write where the homes of `fleet` stand to `file`; an `OSError` is the caller's."""
    sites = np.array([spec.site for spec in fleet.specs])
    payload = io.BytesIO()
    np.savez(payload, sites=sites, **{name: getattr(fleet, name) for name in _COLUMNS})
    beside = file.with_name(file.name + ".tmp")
    beside.write_bytes(payload.getvalue())
    beside.replace(file)


def recall(file: Path) -> Memory | None:
    """What `file` holds, or None where it is absent; `InvalidInput` where it is not one of ours."""
    if not file.exists():
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
            return {name: kept[name] for name in ("sites", *_COLUMNS)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput("file of the homes' state", str(file), f"cannot be read: {error}", "Remove it.") from error


def resume(memory: Memory, fleet: SimFleet) -> None:
    """Let the homes of `fleet` go on from `memory`, if it is about the same homes."""
    if memory["sites"].tolist() != [spec.site for spec in fleet.specs]:
        return
    for name in _COLUMNS:
        getattr(fleet, name)[:] = memory[name]
    np.clip(fleet.stored_kwh, 0.0, fleet.limits.capacity_kwh, out=fleet.stored_kwh)
