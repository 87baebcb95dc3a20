"""Snapshots on disk: written whole or not at all, checked when read, the newest good one found.

Invariants: a file under its final name is complete and durable; its name carries partition and log offset, its first
bytes the checksum of the rest; at most two are kept for each partition, so that a damaged one has a spare. Must not
know what is inside: the reader passes its own decoder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

from powerflock.domain.errors import DamagedSnapshot

T = TypeVar("T")

KEEP = 2
_MAGIC = b"PFSNAP1\n"
_DIGEST = 32
_SUFFIX = ".snapshot"


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The newest good snapshot, decoded (None where there is none), and each newer file skipped with its reason."""

    state: T | None
    path: Path | None
    skipped: tuple[tuple[Path, str], ...]


def write(directory: Path, partition: int, offset: int, payload: bytes) -> Path:
    """Keep `payload` as the partition's snapshot at the log `offset`; on return it is on disk under the path given.

    Older ones beyond the newest two are removed, and what an interrupted write left behind.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"partition-{partition:05d}-{offset:020d}{_SUFFIX}"
    temporary = target.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(_MAGIC + _digest(payload))
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    _sync(directory)
    for old in (*_newest_first(directory, partition)[KEEP:], *directory.glob(f"partition-{partition:05d}-*.tmp")):
        old.unlink(missing_ok=True)
    return target


def newest_good(directory: Path, partition: int, decode: Callable[[bytes], T]) -> Found[T]:
    """The partition's newest snapshot whose checksum holds and that `decode` accepts.

    A file that is damaged, or for which `decode` raises `DamagedSnapshot`, is skipped and reported.
    """
    skipped: list[tuple[Path, str]] = []
    for path in _newest_first(directory, partition):
        try:
            return Found(decode(_checked(path)), path, tuple(skipped))
        except (DamagedSnapshot, OSError) as error:
            skipped.append((path, str(error)))
    return Found(None, None, tuple(skipped))


def _newest_first(directory: Path, partition: int) -> list[Path]:
    return sorted(directory.glob(f"partition-{partition:05d}-*{_SUFFIX}"), reverse=True)


def _checked(path: Path) -> bytes:
    content = path.read_bytes()
    start = len(_MAGIC) + _DIGEST
    if not content.startswith(_MAGIC) or len(content) < start:
        raise DamagedSnapshot(f"{path.name} is not a snapshot: its {len(content)} bytes begin wrongly")
    payload = content[start:]
    if content[len(_MAGIC) : start] != _digest(payload):
        raise DamagedSnapshot(f"{path.name} does not match its checksum: it was cut short or changed")
    return payload


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST).digest()


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
