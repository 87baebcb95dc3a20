"""Many homes' policies as bytes at once, worked out over columns: what `Policy.to_bytes` says of each, bit for bit.

A plant makes the policies of 100,000s of homes beside its turns; as objects they would keep the interpreter from the
turns for 0.4 ms a home. Must not know who made the levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.policy import STEPS_PER_KWH, Basis, check_policy, head_bytes, sealed

_MOST_KWH = 2.0**60 / STEPS_PER_KWH


def policies_to_bytes(
    bounds_us: Sequence[int], levels: F64, charge_efficiency_ratio: F64, discharge_efficiency_ratio: F64, basis: Basis
) -> list[bytes]:
    """The policies of S homes with the same K + 1 bounds: `levels` (S, K, 4) kWh, the ratios (S,).

    Raises `InvalidInput` where `Policy.to_bytes` would, and for levels that no 64 bits hold (1e14 kWh).
    """
    check_policy(len(bounds_us) - 1, in_order=_in_order(levels))
    flat, ends = _varints(_steps(levels))
    pairs = list(zip(charge_efficiency_ratio.tolist(), discharge_efficiency_ratio.tolist(), strict=True))
    heads = {pair: head_bytes(bounds_us, pair) for pair in set(pairs)}
    begins = [0, *ends]
    return [sealed(basis, heads[pair] + flat[begin:end]) for pair, begin, end in zip(pairs, begins, ends, strict=False)]


def _in_order(levels: F64) -> bool:
    """See `policy._in_order`."""
    buy, keep, use, sell = np.moveaxis(levels, 2, 0)
    floor = -0.5 / STEPS_PER_KWH
    sound = (floor < buy) & (buy <= keep) & (keep <= sell) & (sell < _MOST_KWH) & (buy <= use) & (use <= sell)
    return bool(sound.all())


def _steps(levels: F64) -> I64:
    """(S, 4·K) each level in tenths of Wh as its zigzag step from the interval before, level by level."""
    tenths = np.rint(levels * STEPS_PER_KWH).astype(np.int64)
    homes, intervals, columns = levels.shape
    steps: I64 = np.diff(tenths, axis=1, prepend=0).transpose(0, 2, 1).reshape(homes, columns * intervals)
    return (steps << 1) ^ (steps >> 63)


def _varints(numbers: I64) -> tuple[bytes, list[int]]:
    """The rows of `numbers` (S, N), seven bits to a byte, one after another; and where each row ends."""
    most = max((int(numbers.max(initial=0)).bit_length() + 6) // 7, 1)
    place = np.arange(most)
    rest = numbers[:, :, None] >> 7 * place
    used = (rest > 0) | (place == 0)
    more = np.concatenate([used[:, :, 1:], np.zeros((*numbers.shape, 1), np.bool_)], axis=2)
    digits = ((rest & 0x7F) | (more << 7)).astype(np.uint8)
    return digits[used].tobytes(), np.cumsum(used.sum(axis=(1, 2))).tolist()
