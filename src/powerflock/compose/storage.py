"""Where snapshots are kept, out of the settings."""

from __future__ import annotations

from pathlib import Path

from powerflock.compose.files import SnapshotFiles


def partition_snapshots(folder: Path, partition: int) -> SnapshotFiles:
    """The snapshots of one partition, and of what was learned of its sites, for whoever owns it."""
    return SnapshotFiles(folder / "snapshots" / f"{partition:05d}")
