"""Errors to HTTP, in one place: RFC 9457 problem details.

Invariants: every error answer of the API is `application/problem+json` with `type, title, status, detail` and `code`
(stable, machine readable). An unexpected error says nothing of its insides: those go to our own log.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from powerflock.api.headers import SECURITY_HEADERS
from powerflock.domain.errors import (
    HistoryError,
    InvalidInput,
    LogError,
    NotFound,
    NotReady,
    PowerflockError,
    RegistryError,
    Unauthorised,
)

LOGGER = logging.getLogger(__name__)


class TooLarge(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The request's body is larger than the server reads."""

    code = "too_large"


class TooManyStreams(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """All places at the stream are taken."""

    code = "too_many_streams"


STATUSES: tuple[tuple[type[PowerflockError], HTTPStatus], ...] = (
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (Unauthorised, HTTPStatus.UNAUTHORIZED),
    (NotFound, HTTPStatus.NOT_FOUND),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TooManyStreams, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotReady, HTTPStatus.SERVICE_UNAVAILABLE),
    (LogError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RegistryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (HistoryError, HTTPStatus.SERVICE_UNAVAILABLE),
)


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details; `type` is about:blank because `code` tells the kinds apart."""

    title: str
    status: int
    detail: str
    code: str
    invalid: tuple[str, ...] = ()
    type: str = "about:blank"


def problem(
    status: HTTPStatus,
    detail: str,
    code: str,
    *,
    invalid: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The response for one problem; `invalid` names each bad parameter with its bound."""
    value = Problem(status.phrase, status.value, detail, code, invalid=invalid)
    body = msgspec.json.encode(value)
    return Response(body, status.value, headers=headers, media_type="application/problem+json")


def status_of(error: PowerflockError) -> HTTPStatus:
    """The HTTP status of an error raised on purpose; 500 for those the caller cannot help."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


async def _known(_: Request, error: Exception) -> Response:
    if not isinstance(error, PowerflockError):
        raise error
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        LOGGER.error("request failed: %s", error)
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return problem(status, str(error), error.code, headers=headers)


async def _invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    named = tuple(
        f"{'.'.join(str(part) for part in item['loc'])} is {item['input']!r}: {item['msg']}" for item in error.errors()
    )
    return problem(HTTPStatus.BAD_REQUEST, "; ".join(named), "invalid_input", invalid=named)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    kind = "_".join(status.phrase.lower().split())
    detail = f"{request.method} {request.url.path}: {status.description or status.phrase}"
    return problem(status, detail, kind, headers=dict(error.headers) if error.headers else None)


async def _unexpected(_: Request, __: Exception) -> Response:
    detail = "The server failed on this request; its log has the reason."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, "internal", headers=SECURITY_HEADERS)


def install_problems(app: FastAPI) -> None:
    """Make `app` answer every error as a problem."""
    app.add_exception_handler(PowerflockError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
