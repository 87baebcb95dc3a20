"""Snapshots: written whole or not at all, checked when read, the newest good one found.

Invariants: a snapshot's name carries partition, owner's epoch and log offset, its first bytes the checksum of the rest.
The newest is the one of the highest (epoch, offset), so an owner that was replaced never stands before its successor,
whatever it still writes; the newest two of each partition are kept, so that a damaged one has a spare. Must not know
what is inside (the reader passes its own decoder) nor what keeps the bytes: see `blobs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

from powerflock.domain.errors import DamagedSnapshot
from powerflock.history.blobs import Blobs

T = TypeVar("T")

KEEP = 2
_MAGIC = b"PFSNAP1\n"
_DIGEST = 32
_SUFFIX = ".snapshot"


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The newest good snapshot, decoded (None where there is none), and each newer one skipped with its reason."""

    state: T | None
    name: str | None
    skipped: tuple[tuple[str, str], ...]


def write(blobs: Blobs, partition: int, epoch: int, offset: int, payload: bytes) -> str:
    """Keep `payload` as the partition's snapshot by the owner of `epoch` at the log `offset`; returns its name.

    On return it is durable. Those beyond the newest two are removed, and what interrupted writes left behind.
    """
    prefix = _prefix(partition)
    name = f"{prefix}e{epoch:010d}-{offset:020d}{_SUFFIX}"
    blobs.put(name, _MAGIC + _digest(payload) + payload)
    for old in _newest_first(blobs, partition)[KEEP:]:
        blobs.remove(old)
    blobs.clear(prefix, name)
    return name


def newest_good(blobs: Blobs, partition: int, decode: Callable[[bytes], T]) -> Found[T]:
    """The partition's newest snapshot whose checksum holds and that `decode` accepts.

    One that is damaged or gone meanwhile, or for which `decode` raises `DamagedSnapshot`, is skipped and reported.
    """
    skipped: list[tuple[str, str]] = []
    for name in _newest_first(blobs, partition):
        try:
            return Found(decode(_checked(name, blobs.get(name))), name, tuple(skipped))
        except (DamagedSnapshot, OSError) as error:
            skipped.append((name, str(error)))
    return Found(None, None, tuple(skipped))


def _prefix(partition: int) -> str:
    return f"partition-{partition:05d}-"


def _newest_first(blobs: Blobs, partition: int) -> list[str]:
    """By epoch, then offset; names of before epochs were written begin with a digit, and so come last."""
    names = [name for name in blobs.names(_prefix(partition)) if name.endswith(_SUFFIX)]
    return sorted(names, reverse=True)


def _checked(name: str, content: bytes) -> bytes:
    start = len(_MAGIC) + _DIGEST
    if not content.startswith(_MAGIC) or len(content) < start:
        raise DamagedSnapshot(f"{name} is not a snapshot: its {len(content)} bytes begin wrongly")
    payload = content[start:]
    if content[len(_MAGIC) : start] != _digest(payload):
        raise DamagedSnapshot(f"{name} does not match its checksum: it was cut short or changed")
    return payload


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST).digest()
