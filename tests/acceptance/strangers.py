"""Wrong input from outside, while a plant runs: each must get a clear answer, and nobody else may notice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.acceptance.processes import Plant

HELLO = {"type": "hello", "versions": [1], "site": "fontana-01", "token": "0" * 32, "agent": "stranger"}


class _Ear(WSListener):
    """Collects the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, Any]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.heard.append(msgspec.json.decode(frame.get_payload_as_bytes()))


async def _say(plant: Plant, *frames: bytes) -> list[dict[str, Any]]:
    """What the plant answers to `frames` within half a second."""
    headers = {"Sec-WebSocket-Protocol": "powerflock.v1.json"}
    transport, ear = await ws_connect(_Ear, plant.ws, extra_headers=headers)
    for frame in frames:
        transport.send(WSMsgType.TEXT, frame)
    await asyncio.sleep(0.5)
    transport.disconnect()
    return ear.heard  # type: ignore[attr-defined,no-any-return]


def knock(plant: Plant) -> None:
    """Bad tokens, garbage, and enrolments that are refused; the plant stays up and keeps its sites."""
    wrong_token = asyncio.run(_say(plant, msgspec.json.encode(HELLO)))
    assert [answer["code"] for answer in wrong_token] == ["unauthorised"]
    garbage = asyncio.run(_say(plant, b"\x00\xff{", b"[]", b'{"type": "readings", "batch": 1, "rows": []}'))
    assert [answer["code"] for answer in garbage][:2] == ["bad_frame", "bad_frame"]
    too_long = asyncio.run(_say(plant, b'"' + b"x" * 100_000 + b'"'))
    assert [answer["code"] for answer in too_long] == ["too_large"]
    url, key = f"{plant.url}/api/v1/sites", plant.enrol_key.read_text().strip()
    for token, body, status, word in (
        ("guess", b'{"sites": []}', 401, "key"),
        (key, b"{", 400, ""),
        (key, b'{"sites": [{"site": "x", "colour": "red"}]}', 400, "colour"),
    ):
        answer = httpx.post(url, content=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert word in answer.text
    assert plant.alive
    assert plant.get("/readyz")["ready"]
