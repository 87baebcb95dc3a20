"""A registry as lines of JSON: to keep a copy, and to move it from one database to another.

Invariants: the first line says how many partitions there are and how many sites each has; each other line is one site
with its row, its devices' numbers and its spec; a database filled from them has the same rows and numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from powerflock.domain.enrolment import SiteChange
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import Registry
from powerflock.registry.store import SiteRecord, Store

_Line = TypeVar("_Line", bound=msgspec.Struct)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line; `sites` counts those of each partition."""

    format: Literal["powerflock-registry-1"]
    partitions: int
    sites: tuple[int, ...]


def lines(store: Store) -> Iterator[bytes]:
    """The store's registry, line by line."""
    sites = tuple(ends.row for ends in store.ends())
    yield msgspec.json.encode(Header("powerflock-registry-1", store.partitions, sites)) + b"\n"
    for partition in range(store.partitions):
        for record in store.records(partition):
            yield msgspec.json.encode(record) + b"\n"


def read(text: Iterable[bytes]) -> Registry:
    """The registry that `lines` wrote; `InvalidInput` names the line that is none, or that sites are missing."""
    numbered = enumerate(text, 1)
    _, first = next(numbered, (1, b""))
    header = _parse(1, first, Header)
    registry = Registry(header.partitions)
    changes: list[list[SiteChange]] = [[] for _ in range(header.partitions)]
    for number, line in numbered:
        record = _parse(number, line, SiteRecord)
        if not 0 <= record.partition < header.partitions:
            raise InvalidInput(f"line {number}: partition", record.partition, f"must be below {header.partitions}")
        changes[record.partition].append(SiteChange(record.version, record.row, record.devices, record.spec))
    for partition, own in enumerate(changes):
        registry.apply(partition, own)
        if registry.ends(partition).row < header.sites[partition] or registry.waiting(partition):
            raise InvalidInput(
                f"partition {partition}", f"{len(own)} sites", "must be all of its sites", "The file was cut short."
            )
    return registry


def _parse(number: int, line: bytes, kind: type[_Line]) -> _Line:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"line {number} of a registry export", line[:60], f"cannot be read: {error}") from error
