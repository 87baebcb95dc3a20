"""Partial failure is a value that says which and why."""

from __future__ import annotations

import msgspec
import pytest

from powerflock.domain.outcomes import Outcome, Status


@pytest.mark.parametrize(
    ("applied", "reasons", "status"),
    [
        (3, {}, Status.APPLIED),
        (0, {}, Status.APPLIED),
        (2, {"a": "late"}, Status.PARTIAL),
        (0, {"a": "x"}, Status.REFUSED),
    ],
)
def test_the_status_follows_from_what_happened(applied: int, reasons: dict[str, str], status: Status) -> None:
    outcome = Outcome.of(applied, reasons)
    assert (outcome.status, outcome.applied, outcome.reasons) == (status, applied, reasons)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome
