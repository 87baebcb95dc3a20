"""Record batches as a file's bytes, piece by piece: an Arrow stream, Parquet or CSV.

Invariants: the pieces in order are the file; memory holds a piece or two (for Parquet a row group). Must not know where
batches come from or bytes go.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

Format: TypeAlias = Literal["arrow", "parquet", "csv"]


def encoded(schema: pa.Schema, batches: Iterator[pa.RecordBatch], kind: Format) -> Iterator[bytes]:
    """The file of `batches` with `schema`, in pieces that are never empty; unknown is NaN in all formats."""
    pipe = _Pipe()
    with _writer(pipe, schema, kind) as writer:
        for batch in batches:
            writer.write_batch(batch)
            if piece := pipe.take():
                yield piece
    if piece := pipe.take():
        yield piece


def _writer(
    pipe: _Pipe, schema: pa.Schema, kind: Format
) -> pa.ipc.RecordBatchStreamWriter | pa.parquet.ParquetWriter | pa.csv.CSVWriter:
    sink = pa.PythonFile(pipe, mode="w")
    if kind == "arrow":
        return pa.ipc.new_stream(sink, schema)
    if kind == "parquet":
        return pa.parquet.ParquetWriter(sink, schema, compression="zstd")
    return pa.csv.CSVWriter(sink, schema)


class _Pipe(io.RawIOBase):
    """A file that only grows, whose content is taken as it comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type] # pyarrow hands over buffers
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken
