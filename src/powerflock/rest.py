"""A running plant's REST API from the command line, with the standard library alone.

Invariants: a plant that does not answer is `Unreachable`; a refusal keeps the plant's own words. Must not know how the
plant makes its answers: it reads JSON objects and hands them on.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import NamedTuple, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from powerflock.domain.errors import InvalidInput, PowerflockError

Object: TypeAlias = dict[str, object]
TIMEOUT_S = 10.0
PAGE = 500


class Unreachable(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """No plant answers at the address."""

    code = "unreachable"


def sites(plant: str, *, limit: int, **wanted: object) -> list[Object]:
    """At most `limit` sites, page by page; passive kW. `Unreachable`, or `InvalidInput` with the plant's reason.

    `wanted` are the parameters of the plant's `GET /api/v1/sites`; those that are None are left out.
    """
    rows: list[Object] = []
    token: object = None
    while len(rows) < limit:
        page = _ask(plant, "/api/v1/sites", {**wanted, "limit": min(PAGE, limit - len(rows)), "page_token": token})
        rows += _objects(page, "sites")
        token = page.get("next_page_token") if isinstance(page, dict) else None
        if token is None:
            break
    return rows


class Site(NamedTuple):
    """One site: the `whole` answer, and parts of it that are shown as tables and sentences."""

    whole: Object
    now: Object
    times: Object
    devices: list[Object]
    why: list[str]


def site(plant: str, site: str) -> Site:
    """One site whole. Errors as `sites`."""
    whole = _ask(plant, f"/api/v1/sites/{quote(site, safe='')}", {})
    now, times, why = (whole.get(name) if isinstance(whole, dict) else None for name in ("now", "times", "why"))
    if not (isinstance(whole, dict) and isinstance(now, dict) and isinstance(times, dict) and isinstance(why, list)):
        raise Unreachable(f"What answers at {plant} is not a plant: it says nothing of a site. Give the right --url.")
    return Site(whole, now, times, _objects(whole, "devices"), [str(sentence) for sentence in why])


def bids(plant: str, *, limit: int) -> list[Object]:
    """At most `limit` bids, newest first; generation-positive MW. Errors as `sites`."""
    return _objects(_ask(plant, "/api/v1/bids", {"limit": limit}), "bids")


def groups(plant: str) -> list[Object]:
    """Every group, those within it after it; passive kW. Errors as `sites`."""
    return _objects(_ask(plant, "/api/v1/groups", {}), "groups")


def alarms(plant: str) -> list[Object]:
    """The book of alarms: true ones first, the gravest and newest first among them. Errors as `sites`."""
    return _objects(_ask(plant, "/api/v1/alarms", {}), "alarms")


def acknowledge(plant: str, *, alarm: str, by: str, key: str) -> Object:
    """The alarm after `by` has seen it; `key` is the plant's enrolment key. Errors as `sites`."""
    path = f"/api/v1/alarms/{quote(alarm, safe='')}/acknowledge"
    return _objects([_ask(plant, path, {}, body={"by": by}, key=key)], "alarms")[0]


def _ask(plant: str, path: str, query: dict[str, object], *, body: object = None, key: str = "") -> object:
    """What the plant answers; a `body` is posted, with the `key`."""
    if urlsplit(plant).scheme not in {"http", "https"}:
        raise InvalidInput("--url", plant, "must be an http or https address", "For example http://127.0.0.1:8740.")
    given = {key: value for key, value in query.items() if value is not None}
    url = f"{plant.rstrip('/')}{path}" + (f"?{urlencode(given)}" if given else "")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the scheme is checked above
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            return json.loads(answer.read())
    except HTTPError as error:
        detail = _problem(error)
        if 400 <= error.code < 500:
            raise InvalidInput(
                f"request to {plant}{path}", urlencode(given), f"refused by the plant: {detail}"
            ) from error
        raise PowerflockError(f"The plant at {plant} failed with status {error.code}: {detail}") from error
    except (URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Unreachable(
            f"No plant answers at {plant} ({reason}). Start one with `powerflock up`, or give --url."
        ) from error
    except ValueError as error:
        raise Unreachable(
            f"What answers at {plant} is not a plant: {path} is not JSON. Give the right --url."
        ) from error


def _problem(error: HTTPError) -> str:
    try:
        body = json.loads(error.read())
    except (ValueError, OSError):
        return str(error.reason)
    return str(body.get("detail") or body.get("title") or error.reason) if isinstance(body, dict) else str(error.reason)


def _objects(body: object, name: str) -> list[Object]:
    rows = body.get(name) if isinstance(body, dict) else body
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unreachable(f"What answers is not a plant: its answer has no list of {name}. Give the right --url.")
    return rows
