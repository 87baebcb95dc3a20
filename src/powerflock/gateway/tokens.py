"""Device tokens: what a site shows to prove that the plant enrolled it.

Invariants: a token is good for one site only and can't be made without the plant's secret. Must not know sessions.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b

from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_site_id


def issue(secret: bytes, site: str) -> str:
    """The token of `site`: 32 hex digits, the keyed BLAKE2b of its id by `secret` (16 to 64 bytes)."""
    if not 16 <= len(secret) <= blake2b.MAX_KEY_SIZE:
        raise InvalidInput("length of the plant's secret", len(secret), "must lie between 16 and 64 bytes")
    return blake2b(check_site_id(site).encode(), key=secret, digest_size=16).hexdigest()


def verify(secret: bytes, site: str, token: str) -> bool:
    """Whether `token` is the site's, in constant time; a site id that can't exist has none."""
    try:
        expected = issue(secret, site)
    except InvalidInput as error:
        if error.thing != "site id":
            raise
        return False
    return hmac.compare_digest(expected.encode(), token.encode(errors="replace"))
