"""A shard as bytes and back, and its state hash.

Invariants: `load(dump(shard, mark))` gives the same columns bit for bit, so a snapshot plus the log from its offset on
ends in the same state hash as never having stopped. Must not know files: `history.snapshots` keeps the bytes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import Records
from powerflock.domain.errors import DamagedSnapshot
from powerflock.domain.registry import TABLE_COLUMNS, Place, SiteTable, TableColumn
from powerflock.twins.columns import DEVICE, Shard

SCHEMA_VERSION = 1
_MARK = b"powerflock"
_PER_DEVICE = ("device_site", "device_kind")


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where in the log a snapshot was taken: `offset` is the next telemetry entry to apply, `epoch` the owner's."""

    partition: int
    offset: int
    epoch: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema_version: int
    mark: Mark
    places: tuple[tuple[str, str], ...]


def dump(shard: Shard, mark: Mark) -> bytes:
    """Two Arrow IPC streams, devices then sites, with the mark and schema version in the first one's metadata."""
    header = _Header(SCHEMA_VERSION, mark, tuple((place.region, place.feeder) for place in shard.table.places))
    devices: dict[str, TableColumn] = {name: shard.devices[name] for name in DEVICE.names or ()}
    devices |= {name: getattr(shard.table, name) for name in _PER_DEVICE}
    sites = {name: getattr(shard.table, name) for name in TABLE_COLUMNS if name not in _PER_DEVICE}
    return _stream(devices, {_MARK: msgspec.json.encode(header)}) + _stream(sites, {})


def load(payload: bytes) -> tuple[Shard, Mark]:
    """The shard and mark in `dump`'s bytes; `DamagedSnapshot` where they are not that, or of another schema version."""
    source = pa.py_buffer(payload)
    try:
        with pa.BufferReader(source) as reader:
            devices = pa.ipc.open_stream(reader).read_all()
            sites = pa.ipc.open_stream(reader).read_all()
        header = _header(devices.schema.metadata)
        columns = {name: _column(devices if name in _PER_DEVICE else sites, name) for name in TABLE_COLUMNS}
        table = SiteTable.of(columns, [Place(*place) for place in header.places])
        rows: Records = np.empty(devices.num_rows, DEVICE)
        for name in DEVICE.names or ():
            rows[name] = _column(devices, name)
    except (pa.ArrowException, OSError, KeyError, msgspec.MsgspecError) as error:
        raise DamagedSnapshot(f"the snapshot can't be read: {error}") from error
    return Shard(table, rows), header.mark


def state_hash(shard: Shard) -> str:
    """Hex blake2b over all columns and places: equal for equal states, whatever way they were reached."""
    digest = blake2b(digest_size=16)
    digest.update(np.ascontiguousarray(shard.devices).view(np.uint8).data)
    for name in TABLE_COLUMNS:
        digest.update(np.ascontiguousarray(getattr(shard.table, name)).view(np.uint8).data)
    digest.update(msgspec.json.encode(shard.table.places))
    return digest.hexdigest()


def _stream(columns: dict[str, TableColumn], metadata: dict[bytes, bytes]) -> bytes:
    arrays = {name: pa.array(np.ascontiguousarray(values)) for name, values in columns.items()}
    batch = pa.RecordBatch.from_pydict(arrays).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return cast("bytes", sink.getvalue().to_pybytes())


def _header(metadata: dict[bytes, bytes] | None) -> _Header:
    header = msgspec.json.decode((metadata or {})[_MARK], type=_Header)
    if header.schema_version != SCHEMA_VERSION:
        raise DamagedSnapshot(f"the snapshot has schema version {header.schema_version}; this is {SCHEMA_VERSION}")
    return header


def _column(table: pa.Table, name: str) -> TableColumn:
    return cast("TableColumn", table.column(name).to_numpy())
