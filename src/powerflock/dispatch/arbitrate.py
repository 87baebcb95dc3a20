"""Arbitration: safety over network over owner over market, for all sites at once.

Every authority proposes bounds (NaN: none) in order of authority; a higher one narrows, a lower one chooses inside.
Where a lower authority's bounds do not meet what the higher ones left, the nearest point the higher ones allow stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, U8
from powerflock.domain.columns import Issuer


@dataclass(frozen=True, slots=True)
class Proposal:
    """Bounds on the net power of S sites, kW passive, (S,) each; NaN where the issuer has no opinion."""

    issuer: Issuer
    low_kw: F64
    high_kw: F64


@dataclass(frozen=True, slots=True)
class Resolved:
    """`setpoint_kw` (S,) and who decided it, `issuer` (S,): the authority whose bound binds, or the market."""

    setpoint_kw: F64
    issuer: U8


def resolve(proposals: list[Proposal], wish_kw: F64) -> Resolved:
    """The market's `wish_kw` (S,) inside what the proposals leave, the highest authority (lowest number) first."""
    low, high = np.full(wish_kw.shape, -np.inf), np.full(wish_kw.shape, np.inf)
    low_by = np.full(wish_kw.shape, Issuer.MARKET, np.uint8)
    high_by = low_by.copy()
    for proposal in sorted(proposals, key=lambda item: item.issuer):
        asked_low = np.clip(np.where(np.isnan(proposal.low_kw), low, proposal.low_kw), low, high)
        asked_high = np.clip(np.where(np.isnan(proposal.high_kw), high, proposal.high_kw), asked_low, high)
        low_by[asked_low > low], high_by[asked_high < high] = proposal.issuer, proposal.issuer
        low, high = asked_low, asked_high
    decided = np.where(wish_kw < low, low_by, np.where(wish_kw > high, high_by, np.uint8(Issuer.MARKET)))
    return Resolved(np.clip(wish_kw, low, high), decided.astype(np.uint8))
