"""How sure an estimate still is after a while: power wanders about it and comes back (an Ornstein–Uhlenbeck process).

From a known start the variance after time t is σ²(1 − exp(−2t/τ)): it grows like a random walk at first and levels off
at σ², because a home's power does not wander off for ever. Source: Uhlenbeck and Ornstein, On the Theory of the
Brownian Motion, Phys. Rev. 36 (1930). Must not know sites.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel


@kernel
def wandered_std(wander_kw: float, relax_h: float, hours: float) -> float:
    """Standard deviation kW after `hours` ≥ 0 (NaN stays NaN): `wander_kw` is σ, `relax_h` is τ."""
    if hours == 0.0:
        return 0.0
    return float(wander_kw * np.sqrt(-np.expm1(-2.0 * hours / relax_h)))


@kernel
def integrated_std(wander_kw: float, relax_h: float, hours: float) -> float:
    """Standard deviation kWh of the energy over those `hours`: variance σ²τ²(2x − 3 + 4e⁻ˣ − e⁻²ˣ), x = t/τ."""
    if hours == 0.0:
        return 0.0
    x = hours / relax_h
    if x < 1e-3:
        return float(wander_kw * relax_h * np.sqrt(2.0 / 3.0 * x**3))  # the terms above cancel to this
    return float(wander_kw * relax_h * np.sqrt(2.0 * x - 3.0 + 4.0 * np.exp(-x) - np.exp(-2.0 * x)))
