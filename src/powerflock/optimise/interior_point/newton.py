"""Newton's step from the factors of `riccati`, for one set of gradients, residuals and changes of prices.

Backwards through the intervals for what the pivots would do alone, forwards with the stored energies. Columns, pivots
and channels are as there. Must not know barriers, boxes or groups.
"""

from __future__ import annotations

from powerflock.curve.jit import inlined, kernel
from powerflock.domain.arrays import F64


@kernel
def step(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, prices: F64, duration: float, fac: F64, cur: F64,
    work: F64, move: F64, force: F64, answer: F64,
) -> None:  # fmt: skip
    """The step for one set of gradients, residuals `gap` (T, V) of the equations, and changes of prices (K, T).

    `move` (T, V) receives the step, `force` (T, D) the change of the dynamics' multipliers, `answer` (K, T) the
    channels' steps; `work` (T + 2, P) is scratch.
    """
    if rates.shape[0] == 1 and prices.shape[0] == 2:  # a battery and a reserve, as most: unrolled
        _step(hours, rates, theta, grad, gap, prices, duration, 1, 2, fac, cur, work, move, force, answer)
    else:
        _step(
            hours, rates, theta, grad, gap, prices, duration, rates.shape[0], prices.shape[0], fac, cur, work, move,
            force, answer,
        )  # fmt: skip


@inlined
def _step(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, prices: F64, duration: float, storages: int,
    channels: int, fac: F64, cur: F64, work: F64, move: F64, force: F64, answer: F64,
) -> None:  # fmt: skip
    _backward(hours, rates, theta, grad, gap, prices, duration, storages, channels, fac, cur, work)
    _forward(hours, rates, theta, grad, gap, storages, channels, fac, work, duration, move, answer)
    steps = hours.size
    for t in range(steps - 1, -1, -1):
        for d in range(storages):
            s = 2 * storages + d
            total = theta[t, s] * move[t, s] + grad[t, s] + (force[t + 1, d] if t + 1 < steps else 0.0)
            for r in range(channels - 1):
                at = 3 * storages + 5 + 4 * r
                if theta[t, at] > 0.0:
                    weight = rates[d, 1] if r == 0 else -1.0 / rates[d, 0]
                    total += weight * (theta[t, at] * move[t, at] + grad[t, at])
            force[t, d] = total


@kernel
def respond(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, prices: F64, duration: float, fac: F64, cur: F64,
    work: F64, answer: F64,
) -> None:  # fmt: skip
    """The channels' steps only, added to `answer` (K, T); the rest as in `step`."""
    if rates.shape[0] == 1 and prices.shape[0] == 2:
        _respond(hours, rates, theta, grad, gap, prices, duration, 1, 2, fac, cur, work, answer)
    else:
        _respond(
            hours, rates, theta, grad, gap, prices, duration, rates.shape[0], prices.shape[0], fac, cur, work, answer
        )


@inlined
def _respond(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, prices: F64, duration: float, storages: int,
    channels: int, fac: F64, cur: F64, work: F64, answer: F64,
) -> None:  # fmt: skip
    _backward(hours, rates, theta, grad, gap, prices, duration, storages, channels, fac, cur, work)
    first, size = channels, channels + 2 * storages
    before, after = work[hours.size], work[hours.size + 1]
    before[:] = 0.0
    for t in range(hours.size):
        a, p = fac[t], work[t]
        for i in range(size):
            p[i] = -p[i]
            for d in range(storages):
                p[i] -= a[i, size + d] * before[d]
        net = p[0]
        for d in range(storages):
            charge, discharge = p[first + d], p[first + storages + d]
            net += charge - discharge
            after[d] = before[d] - gap[t, 2 * storages + d]
            after[d] += hours[t] * (rates[d, 0] * charge - discharge / rates[d, 1])
        for d in range(storages):
            before[d] = after[d]
        answer[0, t] += net
        for k in range(1, channels):
            answer[k, t] += p[k]


@inlined
def _backward(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, prices: F64, duration: float, storages: int,
    channels: int, fac: F64, cur: F64, work: F64,
) -> None:  # fmt: skip
    """The pivots' own steps, were the energy stored before unchanged, into `work` (T + 2, P), the last rows too."""
    steps = hours.size
    first, size = channels, channels + 2 * storages
    q = work[steps]
    q[:] = 0.0
    for t in range(steps - 1, -1, -1):
        th, g, rho, a, p = theta[t], grad[t], gap[t], fac[t], work[t]
        b, x, off = 3 * storages, 3 * storages + 1, 1.0 if th[3 * storages + 2] > 0.0 else 0.0
        net = (th[x] * g[b] - th[b] * (g[x] - th[x] * rho[x])) / (th[b] + th[x])
        power = 0.0
        for d in range(storages):
            q[d] += g[2 * storages + d]
            for j in range(storages):
                q[d] -= cur[t, 2 * storages + d, j] * rho[2 * storages + j]
        for r in range(channels - 1):
            at, sign = 3 * storages + 3 + 4 * r, 1.0 - 2.0 * r
            p[1 + r] = 0.0
            if th[at] <= 0.0:
                continue
            head = g[at + 1] - th[at + 1] * rho[at + 1]
            held = g[at + 2] - th[at + 2] * rho[at + 2]
            line = g[at + 3] - th[at + 3] * rho[at + 3]
            power, net = power + sign * head, net + sign * line
            p[1 + r] = g[at] - head - duration * held - line + prices[1 + r, t]
            for d in range(storages):
                weight = rates[d, 1] if r == 0 else -1.0 / rates[d, 0]
                q[d] += weight * held
                p[1 + r] += duration * th[at + 2] * weight * rho[2 * storages + d]
        net += prices[0, t]
        p[0] = off * (g[3 * storages + 2] + net)
        for i in range(2 * storages):
            d, sign = i % storages, 1.0 if i < storages else -1.0
            into = hours[t] * rates[d, 0] if i < storages else -hours[t] / rates[d, 1]
            p[first + i] = g[i] + sign * (net + power) + into * q[d] if th[i] > 0.0 else 0.0
        for i in range(size):
            for d in range(storages):
                q[d] -= a[i, size + d] * p[i]
        for i in range(size):
            for k in range(i):
                p[i] -= a[i, k] * p[k]
            p[i] *= a[i, i]
        for i in range(size - 1, -1, -1):
            for k in range(i + 1, size):
                p[i] -= a[k, i] * p[k]
            p[i] *= a[i, i]


@inlined
def _forward(
    hours: F64, rates: F64, theta: F64, grad: F64, gap: F64, storages: int, channels: int, fac: F64, work: F64,
    duration: float, move: F64, answer: F64,
) -> None:  # fmt: skip
    """Follow the energies from the start: every column's step."""
    first, size = channels, channels + 2 * storages
    for t in range(hours.size):
        th, g, rho, a, p, m = theta[t], grad[t], gap[t], fac[t], work[t], move[t]
        for i in range(size):
            p[i] = -p[i]
            for d in range(storages):
                p[i] -= a[i, size + d] * (move[t - 1, 2 * storages + d] if t else 0.0)
        power = 0.0
        for d in range(storages):
            s = 2 * storages + d
            m[d], m[storages + d] = p[first + d], p[first + storages + d]
            power += m[d] - m[storages + d]
            m[s] = (move[t - 1, s] if t else 0.0) - rho[s]
            m[s] += hours[t] * (rates[d, 0] * m[d] - m[storages + d] / rates[d, 1])
        b, x = 3 * storages, 3 * storages + 1
        net = power + p[0]
        m[b] = (th[x] * (net + rho[x]) - g[b] - g[x]) / (th[b] + th[x])
        m[x] = m[b] - net - rho[x]
        m[b + 2] = p[0]
        answer[0, t] = net
        for r in range(channels - 1):
            at, sign, kept = 3 * storages + 3 + 4 * r, 1.0 - 2.0 * r, p[1 + r]
            active = th[at] > 0.0
            m[at] = kept
            m[at + 1] = sign * power - kept - rho[at + 1] if active else 0.0
            m[at + 3] = sign * net - kept - rho[at + 3] if active else 0.0
            held = -duration * kept - rho[at + 2]
            for d in range(storages):
                held += (rates[d, 1] if r == 0 else -1.0 / rates[d, 0]) * m[2 * storages + d]
            m[at + 2] = held if active else 0.0
            answer[1 + r, t] = kept
