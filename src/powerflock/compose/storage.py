"""Where the snapshots of one partition are kept, out of the settings."""

from __future__ import annotations

from powerflock.compose.files import SnapshotFiles, storage_of
from powerflock.settings import Settings


def partition_snapshots(settings: Settings, partition: int) -> SnapshotFiles:
    """The shard's, and what was learned of its sites, for whoever owns the partition."""
    storage, folder = storage_of(settings), f"snapshots/{partition:05d}"
    return SnapshotFiles(storage.blobs(folder), storage.blobs(f"{folder}/outlook"))
