"""How a home's net power and reserves respond to prices, in all pairs of intervals: the slope of its response.

From the factors of `riccati`, in O(T²): a price in interval j moves the energies stored after it, and these move what
the home does later; what it does to intervals before follows by symmetry. Must not know barriers, boxes or groups.
"""

from __future__ import annotations

from powerflock.curve.jit import inlined, kernel
from powerflock.domain.arrays import F64


@kernel
def add_response(hours: F64, rates: F64, theta: F64, fac: F64, cur: F64, channels: int, work: F64, slope: F64) -> None:
    """Add −d(channel k in t)/d(price l in j) for j ≤ t to `slope` (T, K, T, K); the rest follows by symmetry.

    `work` (D, K·T + 2·D + K) is scratch: how each storage's energy answers to all prices so far, its compliance, how
    the channels answer to it, and D more.
    """
    if rates.shape[0] == 1 and channels == 2:  # a battery and a reserve, as most: unrolled
        _add_response(hours, rates, theta, fac, cur, 1, 2, work, slope)
    else:
        _add_response(hours, rates, theta, fac, cur, rates.shape[0], channels, work, slope)


@inlined
def _add_response(
    hours: F64, rates: F64, theta: F64, fac: F64, cur: F64, storages: int, channels: int, work: F64, slope: F64
) -> None:  # fmt: skip
    steps = hours.size
    spread = channels * steps
    spare = spread + storages
    for d in range(storages):
        for j in range(storages):
            work[d, spread + j] = 0.0
    for t in range(steps):
        a = fac[t]
        _channels(theta[t], a, storages, channels, work, spare)
        for k in range(channels):
            row = slope[t, k].ravel()
            for d in range(storages):
                factor, past = work[d, spare + k], work[d]
                for j in range(channels * t):
                    row[j] -= factor * past[j]
            for other in range(channels):
                value = _own(theta[t], a, storages, channels, k, other)
                for d in range(storages):
                    for j in range(storages):
                        value += work[d, spare + k] * work[d, spread + j] * work[j, spare + other]
                row[channels * t + other] += value
        _carry(hours[t], rates, theta[t], a, cur[t], t, steps, storages, channels, work)


@inlined
def _channels(theta: F64, a: F64, storages: int, channels: int, work: F64, spare: int) -> None:
    """How each channel answers to the energies stored before, into `work` (D, …) from column `spare` on."""
    first, size = channels, channels + 2 * storages
    off = 1.0 if theta[3 * storages + 2] > 0.0 else 0.0
    for d in range(storages):
        value = -off * a[0, size + d]
        for u in range(2 * storages):
            if theta[u] > 0.0:
                value -= (1.0 if u < storages else -1.0) * a[first + u, size + d]
        work[d, spare] = value
        for k in range(1, channels):
            work[d, spare + k] = -a[k, size + d]


@inlined
def _own(theta: F64, a: F64, storages: int, channels: int, k: int, other: int) -> float:
    """Channel k's response to the interval's own price of `other`, were the energy stored before unchanged."""
    first, column = channels, channels + 3 * storages + other
    if k:
        return float(a[k, column])
    value = a[0, column] if theta[3 * storages + 2] > 0.0 else 0.0
    for u in range(2 * storages):
        if theta[u] > 0.0:
            value += (1.0 if u < storages else -1.0) * a[first + u, column]
    return float(value)


@inlined
def _carry(
    hour: float, rates: F64, theta: F64, a: F64, cur: F64, t: int, steps: int, storages: int, channels: int,
    work: F64,
) -> None:  # fmt: skip
    """Carry the stored energies' answers to prices, and their compliance, over an interval."""
    first, size, spread = channels, channels + 2 * storages, channels * steps
    full, spare, fresh = size + storages + channels, spread + storages, spread + storages + channels
    for d in range(storages):  # the answer to this interval's own prices: through the energy before, and directly
        for k in range(channels):
            value = 0.0
            if theta[d] > 0.0:
                value -= hour * rates[d, 0] * a[first + d, size + storages + k]
            if theta[storages + d] > 0.0:
                value += hour / rates[d, 1] * a[first + storages + d, size + storages + k]
            for j in range(storages):
                for i in range(storages):
                    value -= cur[storages + d, j] * work[j, spread + i] * work[i, spare + k]
            work[d, t * channels + k] = value
    if storages == 1:
        past, kept = work[0], cur[1, 0]
        for j in range(channels * t):
            past[j] *= kept
    for j in range(channels * t if storages > 1 else 0):
        for d in range(storages):
            work[d, fresh] = 0.0
            for i in range(storages):
                work[d, fresh] += cur[storages + d, i] * work[i, j]
        for d in range(storages):
            work[d, j] = work[d, fresh]
    for d in range(storages):
        for j in range(storages):
            value = 0.0
            for i in range(size):
                value += a[i, full + d] * a[i, full + j]
            for i in range(storages):
                for k in range(storages):
                    value += cur[storages + d, i] * work[i, spread + k] * cur[storages + j, k]
            work[d, fresh + j] = value
    for d in range(storages):
        for j in range(storages):
            work[d, spread + j] = work[d, fresh + j]
