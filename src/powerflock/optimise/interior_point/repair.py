"""From an interior point to a plan that a home can follow: no storage both ways at once, every limit kept.

Each storage follows the energies of the point as near as it can, within the energies from which its later limits can
still be met; then the connection's limits are met with what room the storages and the solar have. What cannot be met
is returned as the worst excess, so a plan is never called feasible that is not. Must not know prices.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64
from powerflock.optimise.interior_point.boxes import (
    CAPACITY,
    CHARGE,
    CURTAILABLE,
    DISCHARGE,
    EXPORT,
    FLOOR,
    IMPORT,
    NET,
)


@kernel
def reach(hours: F64, cells: F64, rates: F64, stored: F64, tube: F64) -> float:
    """The energies (2, D, T) at the intervals' ends from which all later limits can be met, into `tube`.

    Returns by how many kWh the best that can be done misses a limit: above 0, the home has no plan.
    """
    steps, missed = hours.size, 0.0
    for d in range(rates.shape[0]):
        for t in range(steps - 1, -1, -1):
            low, high = cells[d, FLOOR, t], cells[d, CAPACITY, t]
            if t + 1 < steps:
                low = max(low, tube[0, d, t + 1] - hours[t + 1] * rates[d, 0] * cells[d, CHARGE, t + 1])
                high = min(high, tube[1, d, t + 1] + hours[t + 1] / rates[d, 1] * cells[d, DISCHARGE, t + 1])
            missed = max(missed, low - high)
            tube[0, d, t], tube[1, d, t] = low, high
        missed = max(missed, tube[0, d, 0] - hours[0] * rates[d, 0] * cells[d, CHARGE, 0] - stored[d])
        missed = max(missed, stored[d] - hours[0] / rates[d, 1] * cells[d, DISCHARGE, 0] - tube[1, d, 0])
    return missed


@kernel
def repair(
    hours: F64, site: F64, cells: F64, rates: F64, stored: F64, x: F64, tube: F64, now: F64, power: F64, curtailed: F64
) -> float:
    """The plan nearest to `x` (T, V) into `power` (D, T) and `curtailed` (T,); returns the worst excess, kW or kWh.

    `tube` as `reach` leaves it; `now` (4, D) is scratch.
    """
    storages, worst = rates.shape[0], 0.0
    for d in range(storages):
        now[0, d] = now[3, d] = stored[d]
    for t in range(hours.size):
        net = site[NET, t]
        for d in range(storages):
            into, out = hours[t] * rates[d, 0], hours[t] / rates[d, 1]
            now[3, d] += into * x[t, d] - out * x[t, storages + d]
            most = min(cells[d, CHARGE, t], _power(tube[1, d, t] - now[0, d], into, out))
            least = max(-cells[d, DISCHARGE, t], _power(tube[0, d, t] - now[0, d], into, out))
            now[1, d], now[2, d] = min(least, most), most
            power[d, t] = min(max(_power(now[3, d] - now[0, d], into, out), now[1, d]), most)
            net += power[d, t]
        curtailed[t] = min(max(x[t, 3 * storages + 2], 0.0), site[CURTAILABLE, t])
        net += curtailed[t]
        over, under = net - site[IMPORT, t], -site[EXPORT, t] - net
        if over > 0.0:
            less = min(over, curtailed[t])
            curtailed[t], over = curtailed[t] - less, over - less
        elif under > 0.0:
            more = min(under, site[CURTAILABLE, t] - curtailed[t])
            curtailed[t], under = curtailed[t] + more, under - more
        for d in range(storages):
            if over > 0.0:
                less = min(over, power[d, t] - now[1, d])
                power[d, t], over = power[d, t] - less, over - less
            elif under > 0.0:
                more = min(under, now[2, d] - power[d, t])
                power[d, t], under = power[d, t] + more, under - more
            change = hours[t] * (power[d, t] * rates[d, 0] if power[d, t] > 0.0 else power[d, t] / rates[d, 1])
            now[0, d] += change
            worst = max(worst, now[0, d] - cells[d, CAPACITY, t], cells[d, FLOOR, t] - now[0, d])
        worst = max(worst, over, under)
    return worst


@kernel
def _power(change_kwh: float, into: float, out: float) -> float:
    """The power that changes the stored energy so."""
    return change_kwh / into if change_kwh > 0.0 else change_kwh / out
