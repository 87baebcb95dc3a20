"""The peer of `end_to_end`: one process that inserts and commits each message by itself before it acknowledges it.

The same WebSocket library, codec and durability (SQLite, WAL, synchronous=FULL) as Powerflock's gateway and log; no
checks, no tokens, no twins. Run as `python -m benchmarks.naive_plant FOLDER`; prints its address.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponse, ws_create_server
from picows import WSUpgradeResponseWithListener as Upgraded

from powerflock.sim.wire import Ack, CommandAck, Hello, Readings, Welcome

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Hello | Readings | CommandAck).decode


class Device(WSListener):
    """One site's socket."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Insert into `database`, which commits each statement group it is told to."""
        super().__init__()
        self._database, self._site = database, ""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a hello; insert and commit readings, then acknowledge them."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.BINARY:
            return
        message = _decode(frame.get_payload_as_bytes())
        if isinstance(message, Hello):
            self._site = message.site
            welcome = Welcome(1, message.site, time.time_ns() // 1000, 1.0, 512, 1_000_000, 65_536)
            transport.send(WSMsgType.BINARY, _encode(welcome))
        elif isinstance(message, Readings):
            rows = [
                (self._site, row.device, row.seq, row.time_us, row.power_kw, row.energy_kwh) for row in message.rows
            ]
            self._database.executemany("insert into reading values (?, ?, ?, ?, ?, ?)", rows)
            self._database.commit()
            transport.send(WSMsgType.BINARY, _encode(Ack(message.batch, 512)))


async def main(folder: Path) -> None:
    """Serve until killed."""
    database = sqlite3.connect(folder / "readings.sqlite")
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    database.execute(
        "create table reading (site, device, seq integer, time_us integer, power_kw real, energy_kwh real)"
    )
    database.commit()

    def upgrade(request: WSUpgradeRequest) -> Upgraded:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        answer = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": offered})
        return Upgraded(answer, Device(database))

    server = await ws_create_server(upgrade, "127.0.0.1", 0)
    sys.stdout.write(f"devices connect to ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
