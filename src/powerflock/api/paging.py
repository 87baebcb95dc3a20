"""Page tokens: opaque text that names the last site of a page, so paging survives enrolments in between.

Pure. Must not know HTTP or where the sites are.
"""

from __future__ import annotations

import base64

from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_site_id


def page_token(last_site: str) -> str:
    """The token of the page that follows `last_site`."""
    return base64.urlsafe_b64encode(b"1:" + last_site.encode()).decode().rstrip("=")


def site_before(token: str) -> str:
    """The site after which the page starts; `InvalidInput` naming the token if `page_token` did not make it."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        version, _, site = raw.partition(":")
        if version == "1" and page_token(check_site_id(site)) == token:
            return site
    except (ValueError, InvalidInput):  # not Base64, not ASCII, not UTF-8, not a site id
        pass
    raise InvalidInput("page_token", token, "must be the next_page_token of an earlier page", "Start without one.")
