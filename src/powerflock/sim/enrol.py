"""Enrols homes with a plant over its REST API and brings back their tokens.

Invariants: equal specs may be enrolled again and again; a refusal is reported with the plant's own words. A plant that
is not there yet is `NotThere`, for the caller to try later. Must not know sessions.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from powerflock.domain.errors import InvalidInput, PowerflockError, Unauthorised
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec

SITES_PER_REQUEST = 250
_TIMEOUT_S = 10.0


class NotThere(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The plant does not answer yet, or its enrol key is not written yet."""

    code = "unreachable"


class _Enrolled(msgspec.Struct, frozen=True):
    tokens: dict[str, str]
    outcome: Outcome


def enrol(api: str, key: str, specs: Sequence[SiteSpec]) -> dict[str, str]:
    """Tokens by site after enrolling `specs` at `api` (such as http://127.0.0.1:8740); blocks.

    Raises `NotThere`, `Unauthorised`, or `InvalidInput` naming the first site the plant refused and why.
    """
    tokens: dict[str, str] = {}
    for first in range(0, len(specs), SITES_PER_REQUEST):
        body = msgspec.json.encode({"sites": specs[first : first + SITES_PER_REQUEST]})
        enrolled = _post(api, key, body)
        for site, reason in enrolled.outcome.reasons.items():
            raise InvalidInput(f"site {site}", "refused by the plant", reason)
        tokens |= enrolled.tokens
    return tokens


def read_key(path: Path) -> str:
    """The enrol key in the file; `NotThere` where there is none yet, `InvalidInput` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise NotThere(f"the enrol key {path} does not exist yet; the plant writes it when it starts") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(
            "--enrol-key-file",
            str(path),
            f"cannot be read: {why}",
            "Give the file enrol.key of the plant's data folder.",
        ) from error


def _post(api: str, key: str, body: bytes) -> _Enrolled:
    parts = urlsplit(api)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("REST address", api, "must be http:// or https:// and a host")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/api/v1/sites", body, headers)
        response = connection.getresponse()
        status, answer = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotThere(f"no plant answers at {api}: {error}") from error
    finally:
        connection.close()
    return _understand(api, status, answer)


def _understand(api: str, status: int, answer: bytes) -> _Enrolled:
    words = answer[:500].decode(errors="replace")
    if status in {401, 403}:
        raise Unauthorised(f"the plant at {api} does not accept this enrol key: {words}")
    if status >= 500:
        raise NotThere(f"the plant at {api} answered {status}: {words}")
    if status not in {200, 201}:
        raise InvalidInput("enrolment", f"HTTP {status}", f"was refused by {api}: {words}")
    try:
        return msgspec.json.decode(answer, type=_Enrolled)
    except msgspec.DecodeError as error:
        raise InvalidInput("answer to the enrolment", words, f"is not what the API documents: {error}") from error
