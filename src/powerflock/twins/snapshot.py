"""A shard as bytes and back, and its state hash.

Invariants: `load(dump(shard, mark), shard.table)` gives the same state bit for bit, so a snapshot plus the log from its
offset on ends in the same state hash as never having stopped. What sites are is not in it: that is the registry's. Must
not know files: `history.snapshots` keeps the bytes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import Records
from powerflock.domain.errors import DamagedSnapshot
from powerflock.domain.registry import TABLE_COLUMNS, SiteTable
from powerflock.twins.columns import DEVICE, SITE, Shard

SCHEMA_VERSION = 2
_READABLE = (1, 2)
"""Version 1 had the site table in the place of the sites' commands and links."""
_MARK = b"powerflock"
_PER_DEVICE = ("device_site", "device_kind")


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where in the log a snapshot was taken: the next entries of readings (`offset`) and `commands`, and the owner."""

    partition: int
    offset: int
    epoch: int
    commands: int = 0


class _Header(msgspec.Struct, frozen=True):
    schema_version: int
    mark: Mark


_HEADER = msgspec.json.Decoder(_Header)


def dump(shard: Shard, mark: Mark) -> bytes:
    """Two Arrow IPC streams, devices then sites, with the mark and schema version in the first one's metadata."""
    devices = {name: shard.devices[name] for name in DEVICE.names or ()}
    devices |= {name: getattr(shard.table, name) for name in _PER_DEVICE}
    sites = {name: shard.sites[name] for name in SITE.names or ()}
    header = msgspec.json.encode(_Header(SCHEMA_VERSION, mark))
    sink = pa.BufferOutputStream()
    _stream(sink, devices, {_MARK: header})
    _stream(sink, sites, {})
    return cast("bytes", sink.getvalue().to_pybytes())


def load(payload: bytes, table: SiteTable) -> tuple[Shard, Mark]:
    """The shard of `table` with what `dump`'s bytes say of it, and the mark; devices enrolled since are unseen.

    `DamagedSnapshot` where they are no such bytes, of an unknown schema version, or of other devices than the table's.
    """
    shard = Shard.of(table)
    try:
        with pa.BufferReader(pa.py_buffer(payload)) as reader:
            devices = pa.ipc.open_stream(reader).read_all()
            sites = pa.ipc.open_stream(reader).read_all()
        header = _header(devices.schema.metadata)
        known = devices.num_rows
        for name in _PER_DEVICE:
            if not np.array_equal(_column(devices, name), getattr(table, name)[:known]):
                raise DamagedSnapshot(f"the snapshot's {known} devices are not this partition's first ones: see {name}")
        _fill(shard.devices, devices)
        if header.schema_version > 1:
            _fill(shard.sites, sites)
    except (pa.ArrowException, OSError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise DamagedSnapshot(f"the snapshot can't be read: {error}") from error
    return shard, header.mark


def state_hash(shard: Shard) -> str:
    """Hex blake2b over all columns and places: equal for equal states, whatever way they were reached."""
    digest = blake2b(digest_size=16)
    for rows in (shard.devices, shard.sites):
        digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
    for name in TABLE_COLUMNS:
        digest.update(np.ascontiguousarray(getattr(shard.table, name)).view(np.uint8).data)
    digest.update(msgspec.json.encode(shard.table.places))
    return digest.hexdigest()


def _stream(sink: pa.BufferOutputStream, columns: dict[str, Records], metadata: dict[bytes, bytes]) -> None:
    """Write one stream after what the sink has: both streams in one memory, for a fleet's snapshot is large."""
    arrays = {name: pa.array(np.ascontiguousarray(values)) for name, values in columns.items()}
    batch = pa.RecordBatch.from_pydict(arrays).replace_schema_metadata(metadata)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _header(metadata: dict[bytes, bytes] | None) -> _Header:
    header = _HEADER.decode((metadata or {})[_MARK])
    if header.schema_version not in _READABLE:
        raise DamagedSnapshot(f"the snapshot has schema version {header.schema_version}; this reads {_READABLE}")
    return header


def _fill(rows: Records, table: pa.Table) -> None:
    """The first of `rows` as the table has them."""
    if table.num_rows > rows.size:
        raise DamagedSnapshot(f"the snapshot has {table.num_rows} rows, the registry {rows.size}")
    for name in rows.dtype.names or ():
        rows[name][: table.num_rows] = _column(table, name)


def _column(table: pa.Table, name: str) -> Records:
    return cast("Records", table.column(name).to_numpy())
