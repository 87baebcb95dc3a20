"""Page tokens: opaque text that names the last row of a page, so paging survives enrolments in between.

Pure. Must not know HTTP or where the sites are.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import check_site_id


class LastRow(NamedTuple):
    """The last row of a page: the `value` it is sorted by (NaN: unknown; 0 where that is its id) and its `site`."""

    value: float
    site: str


def page_token(sort: str, last: LastRow) -> str:
    """The token of the page that follows `last` in the order `sort`, as the query names it."""
    text = f"2:{sort}:{last.value.hex()}:{last.site}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_start(sort: str, token: str) -> LastRow:
    """The row after which the page starts; `InvalidInput` naming the token if no page in that order gave it."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        _, _, value, site = raw.split(":")
        last = LastRow(float.fromhex(value), check_site_id(site))
        if page_token(sort, last) == token:
            return last
    except (ValueError, OverflowError, InvalidInput):  # not Base64, not ASCII, not UTF-8, no number, not a site id
        pass
    bound = f"must be the next_page_token of an earlier page sorted by {sort}"
    raise InvalidInput("page_token", token, bound, "Start without one.")
