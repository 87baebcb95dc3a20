"""One interval of one home as a convex function of the stored energy's change: at most four slopes.

Falling energy change is the direction throughout: the first slope is where charging is highest. Kernels on numbers, to
be called from compiled loops. Source: Powerflock design, section 6.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64

SEGMENTS = 4
"""Most slopes an interval can have: the bill has three with curtailment, and the battery's losses split one of them."""


@kernel
def interval_segments(
    net_kw: float, buy: float, sell: float, hours: float, cell: F64, slope: F64, length: F64
) -> tuple[int, float, float, float]:
    """One interval's cost by *falling* energy change: (count, most kWh, least kWh, cost at most).

    A count of −1 says that no power is feasible.
    `cell` (11,) as in `Batteries`; `slope, length` (4,) receive d cost / d(−energy change) and kWh, ascending
    where it is convex.
    From the top: charging on bought power; then charging on surplus solar, or discharging into the own load;
    then discharging into the grid. Written without branches: which pieces exist is as good as random to a processor.
    """
    power = min(cell[0], cell[7] - net_kw)
    lowest = max(-cell[1], -cell[8] - net_kw)
    if power < lowest:
        return -1, 0.0, 0.0, 0.0
    upper = min(max(0.0, -net_kw, lowest), power)
    lower = min(max(min(0.0, -net_kw), lowest), upper)
    cheaper, surplus = 1.0 / cell[2], net_kw < 0.0
    into, out = hours * cell[2], hours / cell[3]
    slope[0] = -(buy + cell[4]) * cheaper
    length[0] = (power - upper) * into
    count = int(power > upper)
    slope[count] = -((sell + cell[4]) if surplus else (buy - cell[4])) * (cheaper if surplus else cell[3])
    length[count] = (upper - lower) * (into if surplus else out)
    count += int(upper > lower)
    slope[count] = -(sell - cell[4]) * cell[3]
    length[count] = (lower - lowest) * out
    count += int(lower > lowest)
    most = power * (into if power > 0.0 else out)
    least = lowest * (into if lowest > 0.0 else out)
    net = net_kw + power
    return count, most, least, (net * (buy if net > 0.0 else sell) + cell[4] * abs(power)) * hours


@kernel
def curtailed(
    net_kw: float, buy: float, sell: float, curtailable_kw: float, import_limit_kw: float, export_limit_kw: float
) -> float:
    """How much solar to switch off where the connection would carry `net_kw` without: the least that costs the least.

    For buy ≥ sell. With a price worth having, only what breaks the export limit; with a negative export price, what
    would be exported; with a negative import price too, all
    that the import limit leaves room for.
    """
    wanted = -export_limit_kw - net_kw
    if sell < 0.0:
        wanted = import_limit_kw - net_kw if buy < 0.0 else -net_kw
    return min(max(wanted, 0.0), curtailable_kw)


@kernel
def curtailable_segments(
    net_kw: float, buy: float, sell: float, curtailable_kw: float, hours: float, cell: F64, slope: F64, length: F64
) -> tuple[int, float, float, float]:
    """As `interval_segments`, with up to `curtailable_kw` of solar to switch off.

    The bill is the infimal convolution of buying, selling and switching off, so its slopes over the net power before
    curtailment are those of buy, sell and nothing, in ascending order.
    """
    power = min(cell[0], cell[7] - net_kw)
    lowest = max(-cell[1], -cell[8] - net_kw - curtailable_kw)
    if power < lowest:
        return -1, 0.0, 0.0, 0.0
    if buy < 0.0:
        upper, lower, top, middle, bottom = cell[7] - curtailable_kw, -curtailable_kw, 0.0, buy, sell
    elif sell < 0.0:
        upper, lower, top, middle, bottom = 0.0, -curtailable_kw, buy, 0.0, sell
    else:
        upper, lower, top, middle, bottom = 0.0, -cell[8], buy, sell, 0.0
    upper, lower = upper - net_kw, lower - net_kw
    first, into, out = power, hours * cell[2], hours / cell[3]
    count = 0
    for piece in range(SEGMENTS):
        last = lowest
        if piece == 0:
            last = max(upper, 0.0)
        elif piece == 1:
            last = max(lower, min(upper, 0.0))
        elif piece == 2:
            last = min(lower, 0.0)
        last = max(min(last, first), lowest)
        if last < first:
            at = 0.5 * (first + last)
            price = top if at > upper else (middle if at > lower else bottom)
            slope[count] = -(price + cell[4]) / cell[2] if at > 0.0 else -(price - cell[4]) * cell[3]
            length[count] = (first - last) * (into if at > 0.0 else out)
            count += 1
        first = last
    most = power * (into if power > 0.0 else out)
    least = lowest * (into if lowest > 0.0 else out)
    net = net_kw + power
    net += curtailed(net, buy, sell, curtailable_kw, cell[7], cell[8])
    return count, most, least, (net * (buy if net > 0.0 else sell) + cell[4] * abs(power)) * hours


@kernel
def power_of(change_kwh: float, hours: float, charge_efficiency: float, discharge_efficiency: float) -> float:
    """Battery power in kW that changes the stored energy by `change_kwh` in `hours`."""
    if change_kwh > 0.0:
        return change_kwh / (hours * charge_efficiency)
    return change_kwh * discharge_efficiency / hours


@kernel
def ramp_change(ramp: F64, stored: float) -> float:
    """Optimal energy change in kWh at `stored` kWh: `ramp` (9,) is most, four starts, four lengths."""
    change = ramp[0]
    for index in range(1, 1 + SEGMENTS):
        change -= min(max(stored - ramp[index], 0.0), ramp[index + SEGMENTS])
    return float(change)
