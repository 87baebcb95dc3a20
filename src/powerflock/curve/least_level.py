"""The lowest level to which a storage can hold the import: what shaves a peak, in a plan as at the edge.

Must not know prices, nor how loads are forecast.
"""

from __future__ import annotations

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, Bools

_EXACT = 1e-11
_STEPS = 200


@kernel
def least_level(
    hours: F64, net: F64, solar: F64, stored: float, into: float, out: float, limits: F64, counts: Bools
) -> float:  # fmt: skip
    """The lowest import limit of the intervals that count at which a storage can be run at all, kW; ∞ where none is.

    `hours`, `net` load (kW), `solar` that may be switched off (kW) and `counts` are (T,); `stored` is in kWh, `into`
    and `out` are efficiencies. `limits` (T, 6): charge and discharge (kW), floor and capacity at the interval's end
    (kWh), import and export (kW). The energy needed at an interval's start is a convex, falling function of the level,
    found backwards in time with its slope; Newton's method climbs from below to where it can be met, in a few steps.
    """
    level = 0.0
    for _ in range(_STEPS):
        need, slope, room, highest = limits[-1, 2], 0.0, limits[-1, 3], level
        for t in range(hours.size - 1, -1, -1):
            most, rises = limits[t, 4] - net[t], 0.0
            if counts[t] and level < limits[t, 4]:
                most, rises = level - net[t], 1.0
            if most >= limits[t, 0]:
                most, rises = limits[t, 0], 0.0
            least = max(-limits[t, 1], -limits[t, 5] - net[t] - solar[t])
            factor = hours[t] * into if most >= 0.0 else hours[t] / out
            need, slope = need - factor * most, slope - factor * rises
            room -= hours[t] * (least * into if least >= 0.0 else least / out)
            low, high = (limits[t - 1, 2], limits[t - 1, 3]) if t > 0 else (stored, stored)
            if need <= low:
                need, slope = low, 0.0
            room = min(room, high)
            for short, reach in ((need - room, -slope), (least - most, rises)):
                if short > _EXACT and reach <= 0.0:
                    return np.inf
                if short > _EXACT:
                    highest = max(highest, level + short / reach)
        if highest <= level:
            return level
        level = highest
    return level


@kernel
def least_levels(
    hours: F64, net: F64, stored: float, into: float, out: float, limits: F64, counts: Bools, levels: F64
) -> None:  # fmt: skip
    """`least_level` of each row of `net` (R, T), without solar to switch off, into `levels` (R,)."""
    solar = np.zeros(hours.size)
    for row in range(levels.size):
        levels[row] = least_level(hours, net[row], solar, stored, into, out, limits, counts)
