"""One interval of one home as a convex function of the stored energy's change: at most four slopes.

Falling energy change is the direction throughout: the first slope is where charging is highest. Kernels on numbers, to
be called from compiled loops. Source: Powerflock design, section 6.
"""

from __future__ import annotations

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64

SEGMENTS = 4
"""Most slopes an interval can have: the bill has three with curtailment, and the battery's losses split one of them."""
SLACK_KW = 1e-9
"""What rounding may put between two limits that are the same power."""


@kernel
def interval_segments(
    net_kw: float, buy: float, sell: float, hours: float, high: float, low: float, into: float, out: float,
    wear: float, slope: F64, length: F64,
) -> tuple[int, float, float, float]:  # fmt: skip
    """One interval's cost by *falling* energy change: (count, most kWh, least kWh, cost at most).

    A count of −1 says that no power is feasible. The power is between `low` and `high`; a kWh charged stores `into`, a
    kWh discharged takes `out`; `slope, length` (4,) receive d cost / d(−energy change) and kWh, ascending if convex.
    From the top: charging on bought power; then charging on surplus solar, or discharging into the own load;
    then discharging into the grid. Written without branches: which pieces exist is as good as random to a processor.
    """
    if high < low - SLACK_KW * (1.0 + abs(net_kw)):
        return -1, 0.0, 0.0, 0.0
    low = min(low, high)
    upper = min(max(0.0, -net_kw, low), high)
    lower = min(max(min(0.0, -net_kw), low), upper)
    surplus = net_kw < 0.0
    charging, discharging = -1.0 / into, -1.0 / out
    slope[0] = (buy + wear) * charging
    length[0] = (high - upper) * into * hours
    count = int(high > upper)
    slope[count] = (sell + wear) * charging if surplus else (buy - wear) * discharging
    length[count] = (upper - lower) * (into if surplus else out) * hours
    count += int(upper > lower)
    slope[count] = (sell - wear) * discharging
    length[count] = (lower - low) * out * hours
    count += int(lower > low)
    most = high * (into if high > 0.0 else out) * hours
    least = low * (into if low > 0.0 else out) * hours
    net = net_kw + high
    return count, most, least, (net * (buy if net > 0.0 else sell) + wear * abs(high)) * hours


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
def bill_edges(
    net_kw: float, buy: float, sell: float, curtailable_kw: float, import_limit_kw: float, export_limit_kw: float
) -> tuple[float, float, float, float, float]:
    """The bill over battery power, with solar to switch off: (upper edge, lower edge, slope above, between, below).

    The bill is the infimal convolution of buying, selling and switching off, so its slopes over the net power before
    curtailment are those of buy, sell and nothing, in ascending order. For buy ≥ sell.
    """
    if buy < 0.0:
        return import_limit_kw - curtailable_kw - net_kw, -curtailable_kw - net_kw, 0.0, buy, sell
    if sell < 0.0:
        return -net_kw, -curtailable_kw - net_kw, buy, 0.0, sell
    return -net_kw, -export_limit_kw - net_kw, buy, sell, 0.0


@kernel
def curtailable_segments(
    net_kw: float, buy: float, sell: float, curtailable_kw: float, hours: float, high: float, low: float, into: float,
    out: float, wear: float, import_limit_kw: float, export_limit_kw: float, slope: F64, length: F64,
) -> tuple[int, float, float, float]:  # fmt: skip
    """As `interval_segments`, with up to `curtailable_kw` of solar to switch off."""
    if high < low - SLACK_KW * (1.0 + abs(net_kw)):
        return -1, 0.0, 0.0, 0.0
    low = min(low, high)
    upper, lower, top, middle, bottom = bill_edges(net_kw, buy, sell, curtailable_kw, import_limit_kw, export_limit_kw)
    first, count = high, 0
    for piece in range(SEGMENTS):
        last = low
        if piece == 0:
            last = max(upper, 0.0)
        elif piece == 1:
            last = max(lower, min(upper, 0.0))
        elif piece == 2:
            last = min(lower, 0.0)
        last = max(min(last, first), low)
        if last < first:
            at = 0.5 * (first + last)
            price = top if at > upper else (middle if at > lower else bottom)
            slope[count] = -(price + wear) / into if at > 0.0 else -(price - wear) / out
            length[count] = (first - last) * (into if at > 0.0 else out) * hours
            count += 1
        first = last
    most = high * (into if high > 0.0 else out) * hours
    least = low * (into if low > 0.0 else out) * hours
    net = net_kw + high
    net += curtailed(net, buy, sell, curtailable_kw, import_limit_kw, export_limit_kw)
    return count, most, least, (net * (buy if net > 0.0 else sell) + wear * abs(high)) * hours


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
