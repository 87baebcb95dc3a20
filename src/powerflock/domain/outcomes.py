"""Partial failure as a value: what happened to each of many things asked for at once."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """What became of one request."""

    APPLIED = "applied"
    PARTIAL = "partial"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNCONFIRMED = "unconfirmed"


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole request's status, and the reason for each id that was not applied."""

    status: Status
    applied: int = 0
    reasons: dict[str, str] = {}

    @staticmethod
    def of(applied: int, reasons: dict[str, str]) -> Outcome:
        """`applied` things done and the rest refused with `reasons` by id."""
        if not reasons:
            return Outcome(Status.APPLIED, applied)
        return Outcome(Status.PARTIAL if applied else Status.REFUSED, applied, reasons)
