"""Newton's step of a home's barrier problem, interval by interval: the factors from which steps follow.

Around a point every boxed quantity x of an interval has a stiffness θ and a gradient g, and the step minimises
Σ ½θ·δ² + g·δ over steps that keep the home's equations. Backwards in time the steps of an interval's free quantities
(the *pivots*) are eliminated, so that what is left is a quadratic in the energy stored before; forwards the steps
follow (`newton`). The same factors give how the home responds to prices in all pairs of intervals (`response`).

Columns of an interval with D storages: charge (D), discharge (D), stored (D), import, export, curtailed; with reserves
also, for raise and then lower: reserve, headroom, sustained, connection. Pivots: curtailed, the reserves, charge (D),
discharge (D). Channels, which prices act on: net power, raise, lower. A column whose stiffness is 0 is a constant.
Riccati's recursion in its sum-of-squares (Joseph) form, which cancels nothing: Bierman, Factorization Methods (1977).
Must not know barriers, boxes or groups.
"""

from __future__ import annotations

from powerflock.curve.jit import inlined, kernel
from powerflock.domain.arrays import F64

_FLAT = 1e-14
"""A pivot's share of its own curvature below which it is rounding."""


@kernel
def factorise(hours: F64, rates: F64, theta: F64, duration: float, channels: int, fac: F64, cur: F64) -> None:
    """Eliminate backwards. `rates` (D, ≥2) efficiencies in and out, `theta` (T, V).

    `fac` (T, P, P + 2D + K) receives Cholesky's L, the pivots' answers to stored energy and to prices, and L⁻¹B;
    `cur` (T, 3D, D) the curvature of all cost to come in the energy stored before the interval, how the energy stored
    after it answers to that before, and the curvature in the energy stored after it.
    """
    if rates.shape[0] == 1 and channels == 2:  # a battery and a reserve, as most: unrolled
        _factorise(hours, rates, theta, duration, 1, 2, fac, cur)
    else:
        _factorise(hours, rates, theta, duration, rates.shape[0], channels, fac, cur)


@inlined
def _factorise(
    hours: F64, rates: F64, theta: F64, duration: float, storages: int, channels: int, fac: F64, cur: F64
) -> None:  # fmt: skip
    for t in range(hours.size - 1, -1, -1):
        for i in range(storages):
            for j in range(storages):
                cur[t, 2 * storages + i, j] = cur[t + 1, i, j] if t + 1 < hours.size else 0.0
            cur[t, 2 * storages + i, i] += theta[t, 2 * storages + i]
        _assemble(hours[t], rates, theta[t], duration, storages, channels, fac[t], cur[t])
        _cholesky(fac[t], storages, channels)
        _close(hours[t], rates, theta[t], duration, storages, channels, fac[t], cur, t)


@inlined
def _assemble(
    hour: float, rates: F64, theta: F64, duration: float, storages: int, channels: int, a: F64, cur: F64
) -> None:  # fmt: skip
    """Fill `a` with the pivots' curvature and their couplings to stored energy, to prices, and B."""
    first, size = channels, channels + 2 * storages
    a[:] = 0.0
    b, s = theta[3 * storages], theta[3 * storages + 1]
    whole, power = b * s / (b + s), 0.0
    for r in range(channels - 1):
        at = 3 * storages + 3 + 4 * r
        if theta[at] > 0.0:
            whole, power = whole + theta[at + 3], power + theta[at + 1]
    off = 1.0 if theta[3 * storages + 2] > 0.0 else 0.0
    a[0, 0] = theta[3 * storages + 2] + whole if off > 0.0 else 1.0
    a[0, size + storages] = off
    for r in range(channels - 1):
        at, sign, row = 3 * storages + 3 + 4 * r, 1.0 - 2.0 * r, 1 + r
        a[row, row] = 1.0
        if theta[at] <= 0.0:
            continue
        sustain = duration * theta[at + 2]
        a[row, row] = theta[at] + theta[at + 1] + theta[at + 3] + duration * sustain
        a[row, 0] = -sign * off * theta[at + 3]
        a[row, size + storages + 1 + r] = 1.0
        for d in range(storages):
            weight = rates[d, 1] if r == 0 else -1.0 / rates[d, 0]
            a[row, size + d] = -sustain * weight
            for j in range(storages):
                cur[2 * storages + d, j] += theta[at + 2] * weight * (rates[j, 1] if r == 0 else -1.0 / rates[j, 0])
    for i in range(2 * storages):
        row, d = first + i, i % storages
        a[row, row] = 1.0
        if theta[i] <= 0.0:
            continue
        sign = 1.0 if i < storages else -1.0
        into = hour * rates[d, 0] if i < storages else -hour / rates[d, 1]
        a[row, 0] = off * sign * whole
        a[row, size + storages] = sign
        a[row, size + storages + channels + d] = into
        for r in range(channels - 1):
            at, way = 3 * storages + 3 + 4 * r, 1.0 - 2.0 * r
            if theta[at] > 0.0:
                a[row, 1 + r] = -way * sign * (theta[at + 1] + theta[at + 3]) + into * a[1 + r, size + d]
        for j in range(storages):
            a[row, size + j] = into * cur[2 * storages + d, j]
        for k in range(i + 1):
            if theta[k] > 0.0:
                other = hour * rates[k % storages, 0] if k < storages else -hour / rates[k % storages, 1]
                a[row, first + k] = sign * (1.0 if k < storages else -1.0) * (whole + power)
                a[row, first + k] += into * other * cur[2 * storages + d, k % storages]
        a[row, row] += theta[i]


@inlined
def _cholesky(a: F64, storages: int, channels: int) -> None:
    """Factor the pivots' curvature (1/L on the diagonal) and solve for stored energy and prices; halfway for B."""
    size = channels + 2 * storages
    full, width = size + storages + channels, size + 2 * storages + channels
    for i in range(size):
        whole = a[i, i]
        for j in range(i):
            value = a[i, j]
            for k in range(j):
                value -= a[i, k] * a[j, k]
            a[i, j] = value * a[j, j]
            whole -= a[i, j] * a[i, j]
        # A direction without any curvature of its own is left as it is: rounding has nothing to say about it.
        a[i, i] = 1.0 / whole**0.5 if whole > _FLAT * a[i, i] else 0.0
        for column in range(size, width):
            value = a[i, column]
            for k in range(i):
                value -= a[i, k] * a[k, column]
            a[i, column] = value * a[i, i]
    for i in range(size - 1, -1, -1):
        for column in range(size, full):
            value = a[i, column]
            for k in range(i + 1, size):
                value -= a[k, i] * a[k, column]
            a[i, column] = value * a[i, i]


@inlined
def _close(
    hour: float, rates: F64, theta: F64, duration: float, storages: int, channels: int, a: F64, cur: F64, t: int
) -> None:  # fmt: skip
    """Curvature in the energy stored before: the sum over all columns of stiffness × (answer to that energy)²."""
    first, size = channels, channels + 2 * storages
    for d in range(storages):
        for j in range(storages):
            moved = 1.0 if d == j else 0.0
            if theta[d] > 0.0:
                moved -= hour * rates[d, 0] * a[first + d, size + j]
            if theta[storages + d] > 0.0:
                moved += hour / rates[d, 1] * a[first + storages + d, size + j]
            cur[t, storages + d, j] = moved
    b, s = theta[3 * storages], theta[3 * storages + 1]
    joint, off = b * s / (b + s), 1.0 if theta[3 * storages + 2] > 0.0 else 0.0
    for i in range(storages):
        for j in range(i + 1):
            total = 0.0
            for d in range(storages):
                for k in range(storages):
                    later = cur[t + 1, d, k] if t + 1 < cur.shape[0] else 0.0
                    later += theta[2 * storages + d] if d == k else 0.0
                    total += cur[t, storages + d, i] * later * cur[t, storages + k, j]
            power_i = power_j = 0.0
            for u in range(2 * storages):
                sign = (1.0 if u < storages else -1.0) if theta[u] > 0.0 else 0.0
                power_i -= sign * a[first + u, size + i]
                power_j -= sign * a[first + u, size + j]
                total += theta[u] * a[first + u, size + i] * a[first + u, size + j]
            net_i, net_j = power_i - off * a[0, size + i], power_j - off * a[0, size + j]
            total += joint * net_i * net_j + theta[3 * storages + 2] * a[0, size + i] * a[0, size + j]
            for r in range(channels - 1):
                at, sign = 3 * storages + 3 + 4 * r, 1.0 - 2.0 * r
                if theta[at] <= 0.0:
                    continue
                kept_i, kept_j = a[1 + r, size + i], a[1 + r, size + j]
                total += theta[at] * kept_i * kept_j
                total += theta[at + 1] * (sign * power_i + kept_i) * (sign * power_j + kept_j)
                total += theta[at + 3] * (sign * net_i + kept_i) * (sign * net_j + kept_j)
                held_i, held_j = duration * kept_i, duration * kept_j
                for d in range(storages):
                    weight = rates[d, 1] if r == 0 else -1.0 / rates[d, 0]
                    held_i += weight * cur[t, storages + d, i]
                    held_j += weight * cur[t, storages + d, j]
                total += theta[at + 2] * held_i * held_j
            cur[t, i, j] = cur[t, j, i] = total
