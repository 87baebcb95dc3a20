"""Enrolment over HTTP: who may, how much is read, and what the body must be.

The key is checked before a byte of the body is read. Must not know how sites are stored.
"""

from __future__ import annotations

import hmac

import msgspec
from starlette.requests import Request

from powerflock.api.problems import TooLarge
from powerflock.domain.errors import InvalidInput, Unauthorised
from powerflock.domain.site import SiteSpec

MOST_BYTES = 16 * 1024 * 1024
MOST_SITES = 10_000


class EnrolBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request: sites to enrol, each once."""

    sites: list[SiteSpec]


def check_key(header: str | None, key: str) -> None:
    """`Unauthorised` unless `header` is `Bearer <key>`, compared in constant time."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
        message = "this needs the header `Authorization: Bearer <enrolment key>` with this plant's key"
        raise Unauthorised(message)


async def bounded_body(request: Request, most: int = MOST_BYTES) -> bytes:
    """The body, or `TooLarge` as soon as it is known to exceed `most` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            message = f"the body exceeds {most} bytes; enrol fewer sites at once"
            raise TooLarge(message)
    return bytes(body)


def parse_sites(body: bytes) -> list[SiteSpec]:
    """The sites of an enrolment body, or `InvalidInput` naming what is wrong and where."""
    try:
        sites = msgspec.json.decode(body, type=EnrolBody).sites
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("body", body[:80].decode(errors="replace"), f"cannot be read: {error}") from error
    if not 1 <= len(sites) <= MOST_SITES:
        raise InvalidInput(
            "number of sites", len(sites), f"must lie between 1 and {MOST_SITES}", "Send several requests."
        )
    seen: set[str] = set()
    for spec in sites:
        if spec.site in seen:
            raise InvalidInput("sites", spec.site, "is named twice in one request")
        seen.add(spec.site)
    return sites
