"""What the virtual fleet says it did, one JSON object a line, to compare with what a plant stored.

`{"kind": "sent"|"acked"|"refused", site, batch, time_us, seqs: {device: seq}}` for each batch, once; `{"kind":
"command", site, seq, epoch, time_us, status}` for each command, `{"kind": "policy", site, epoch, time_us, status}` for
each policy; and for each 5 minutes `{"kind": "energy", start_us, end_us, net_kwh: {site: kWh}, battery_kwh: {...},
rung: {...}}`: the truth, passive, and where each home stood on the edge's ladder at the end.
Must not know sockets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from powerflock.domain.errors import InvalidInput


class Ledger:
    """Appends to a file, or to nothing where there is no path. Lines are whole after `flush`."""

    def __init__(self, path: Path | None) -> None:
        """Open `path` for appending, or refuse it with `InvalidInput`."""
        try:
            self._file = path.open("ab") if path else None
        except OSError as error:
            raise InvalidInput(
                "--ledger", str(path), f"cannot be written: {error.strerror}", "Choose another."
            ) from error
        self._encode = msgspec.json.Encoder().encode

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def batch(self, kind: str, site: str, batch: int, time_us: int, seqs: dict[str, int]) -> None:
        """A batch was sent for the first time, acknowledged or refused."""
        if self._file:
            line = {"kind": kind, "site": site, "batch": batch, "time_us": time_us, "seqs": seqs}
            self._file.write(self._encode(line) + b"\n")

    def command(self, site: str, seq: int, epoch: int, time_us: int, status: str) -> None:
        """A command was obeyed, or refused, at `time_us`."""
        if self._file:
            line = {"kind": "command", "site": site, "seq": seq, "epoch": epoch, "time_us": time_us, "status": status}
            self._file.write(self._encode(line) + b"\n")

    def policy(self, site: str, epoch: int, time_us: int, status: str) -> None:
        """A policy was taken up, or refused, at `time_us`."""
        if self._file:
            line = {"kind": "policy", "site": site, "epoch": epoch, "time_us": time_us, "status": status}
            self._file.write(self._encode(line) + b"\n")

    def energy(
        self, start_us: int, end_us: int, net_kwh: dict[str, float], battery_kwh: dict[str, float], rung: dict[str, str]
    ) -> None:  # fmt: skip
        """Net energy through each meter and into each battery's terminals over [start, end); the rung at its end."""
        if self._file:
            line = {"kind": "energy", "start_us": start_us, "end_us": end_us, "net_kwh": net_kwh}
            self._file.write(self._encode({**line, "battery_kwh": battery_kwh, "rung": rung}) + b"\n")

    @property
    def kept(self) -> bool:
        """Whether anything is written."""
        return self._file is not None

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._file:
            self._file.flush()
