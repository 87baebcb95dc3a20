"""Where whole files are kept: a port with two backends, a local folder and an object store.

Invariants: under its name a blob is complete or absent, whenever its writer is killed; what `put` returned is durable;
a listing shows what was put before it. Must not know what a blob means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pyarrow.fs as arrow

_TEMPORARY = ".tmp"


class Blobs(Protocol):
    """What each backend does; `OSError` where the disk or the store fails."""

    def put(self, name: str, payload: bytes) -> None:
        """Keep `payload` under `name`, whole or not at all; a blob of that name is replaced."""

    def get(self, name: str) -> bytes:
        """What is kept under `name`."""

    def names(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`, in no order; none where nothing was ever put."""

    def remove(self, name: str) -> None:
        """Forget `name`; harmless where it is gone."""

    def clear(self, prefix: str, until: str) -> None:
        """Forget what writers that were killed left of blobs named from `prefix` to `until`."""


class FolderBlobs:
    """Files of a local folder: written beside their name, synced, then renamed."""

    def __init__(self, folder: Path) -> None:
        """The folder is made at the first `put`."""
        self.folder = folder

    def put(self, name: str, payload: bytes) -> None:
        """See `Blobs.put`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{name}{_TEMPORARY}"
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / name)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def get(self, name: str) -> bytes:
        """See `Blobs.get`."""
        return (self.folder / name).read_bytes()

    def names(self, prefix: str) -> list[str]:
        """See `Blobs.names`."""
        return [path.name for path in self.folder.glob(f"{prefix}*") if path.suffix != _TEMPORARY]

    def remove(self, name: str) -> None:
        """See `Blobs.remove`."""
        (self.folder / name).unlink(missing_ok=True)

    def clear(self, prefix: str, until: str) -> None:
        """See `Blobs.clear`."""
        for path in self.folder.glob(f"{prefix}*{_TEMPORARY}"):
            if path.name <= until + _TEMPORARY:
                path.unlink(missing_ok=True)


class ObjectBlobs:
    """Objects under a prefix of a bucket. The store shows an object only when all of it has arrived."""

    def __init__(self, store: arrow.FileSystem, prefix: str) -> None:
        """`prefix` is `BUCKET` or `BUCKET/FOLDERS`; the bucket exists."""
        self._store, self._prefix = store, prefix.strip("/")

    def put(self, name: str, payload: bytes) -> None:
        """See `Blobs.put`."""
        with self._store.open_output_stream(f"{self._prefix}/{name}") as stream:
            stream.write(payload)

    def get(self, name: str) -> bytes:
        """See `Blobs.get`."""
        with self._store.open_input_file(f"{self._prefix}/{name}") as file:
            payload: bytes = file.read()
        return payload

    def names(self, prefix: str) -> list[str]:
        """See `Blobs.names`."""
        found = self._store.get_file_info(arrow.FileSelector(self._prefix, allow_not_found=True))
        return [
            info.base_name for info in found if info.type == arrow.FileType.File and info.base_name.startswith(prefix)
        ]

    def remove(self, name: str) -> None:
        """See `Blobs.remove`."""
        if self._store.get_file_info(f"{self._prefix}/{name}").type == arrow.FileType.File:
            self._store.delete_file(f"{self._prefix}/{name}")

    def clear(self, prefix: str, until: str) -> None:
        """Nothing to do: an upload that never ended was never an object, and the bucket's own rules forget it."""
