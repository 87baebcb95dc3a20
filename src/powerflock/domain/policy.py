"""A home's plan as a policy: for each interval four energy levels, from which any state has its best battery power.

Buy from the grid up to `buy_kwh`; store own surplus up to `keep_kwh`; serve the own load down to `use_kwh`; sell to the
grid down to `sell_kwh`. The levels are where the marginal value of stored energy at the interval's end crosses what the
energy costs or earns there, so within the power limits the answer is exact for any stored energy, any net load and any
rest of the interval, not only for those that were forecast. Plain Python over numbers: what an edge needs, no more.
Invariants: buy ≤ keep, use ≤ sell; bytes that are not a whole policy are refused. Must not know who made the policy.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, chain, groupby, islice, pairwise
from math import inf, isnan
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.errors import InvalidInput

if TYPE_CHECKING:  # an edge that holds one home needs no arrays
    from powerflock.domain.arrays import F64

MAX_BYTES, MAX_INTERVALS = 32_768, 4_096
_MAGIC, _CHECK_BYTES = b"PFP\x01", 4
STEPS_PER_KWH, _PPM = 1e4, 1e6
_MAX_UNPACKED = 1 << 17
N = TypeVar("N", float, "F64")


class Basis(IntEnum):
    """Which prices a policy was made for: the owner's tariff alone, or with the fleet's expected price on top."""

    OWNER = 0
    FLEET = 1


class Levels(NamedTuple):
    """Energy levels of one interval, kWh."""

    buy_kwh: float
    keep_kwh: float
    use_kwh: float
    sell_kwh: float


def power_to_levels(
    levels: tuple[N, N, N, N], stored_kwh: N, net_load_kw: N, hours: N, efficiency_ratio: tuple[N, N],
    lowest: Callable[[N, N | float], N], highest: Callable[[N, N | float], N],
) -> N:  # fmt: skip
    """Battery power in kW that is best for `hours` > 0, before the battery's and the connection's limits.

    `efficiency_ratio` is that of charging and of discharging. For numbers, or for (S,) columns of homes: `lowest` and
    `highest` are `min` and `max`, or numpy's `minimum` and `maximum`; both give the same bits.
    """
    into, out = hours * efficiency_ratio[0], efficiency_ratio[1]
    buy, keep, use, sell = (
        highest(level - stored_kwh, 0.0) / into + lowest(level - stored_kwh, 0.0) * out / hours for level in levels
    )
    surplus, need = highest(-net_load_kw, 0.0), lowest(-net_load_kw, 0.0)
    own = lowest(highest(keep, 0.0), surplus) + highest(lowest(use, 0.0), need)
    return lowest(highest(own, buy), sell)


@dataclass(frozen=True, slots=True)
class Policy:
    """One home's levels from `bounds_us[i]` until `bounds_us[i + 1]`, T of them; efficiencies as they were planned."""

    bounds_us: tuple[int, ...]
    levels: tuple[Levels, ...]
    charge_efficiency_ratio: float
    discharge_efficiency_ratio: float
    basis: Basis

    @property
    def horizon_us(self) -> int:
        """The time from which on the policy says nothing."""
        return self.bounds_us[-1]

    def interval(self, time_us: int) -> int | None:
        """Which interval holds `time_us`; None before the first and from the horizon on."""
        index = bisect_right(self.bounds_us, time_us) - 1
        return index if 0 <= index < len(self.levels) else None

    def power_kw(
        self, time_us: int, stored_kwh: float, net_load_kw: float, low_kw: float, high_kw: float
    ) -> float | None:  # fmt: skip
        """Battery power to hold from `time_us` to the interval's end, + = charging; None outside the horizon.

        None, too, where the energy or the load is unknown (NaN): a policy does not guess.
        `net_load_kw` is load + solar as it is now, `low_kw` ≤ 0 ≤ `high_kw` what battery and connection allow.
        """
        index = self.interval(time_us)
        if index is None or isnan(stored_kwh) or isnan(net_load_kw):
            return None
        hours = (self.bounds_us[index + 1] - time_us) / MICROS_PER_HOUR
        ratios = self.charge_efficiency_ratio, self.discharge_efficiency_ratio
        wanted = power_to_levels(self.levels[index], stored_kwh, net_load_kw, hours, ratios, min, max)
        return min(max(wanted, low_kw), high_kw)

    def change_kwh(self, interval: int, stored_kwh: float, net_load_kw: float, low_kw: float, high_kw: float) -> float:
        """Best change of the stored energy over the whole of `interval` when it begins with `stored_kwh`."""
        if not 0 <= interval < len(self.levels):
            raise InvalidInput("interval", interval, f"must lie between 0 and {len(self.levels) - 1}")
        begin_us, end_us = self.bounds_us[interval : interval + 2]
        power = self.power_kw(begin_us, stored_kwh, net_load_kw, low_kw, high_kw) or 0.0
        factor = self.charge_efficiency_ratio if power > 0.0 else 1.0 / self.discharge_efficiency_ratio
        return power * factor * ((end_us - begin_us) / MICROS_PER_HOUR)

    def to_bytes(self) -> bytes:
        """Some 200 bytes for a day of half-hours, 1 kB for one of five minutes.

        Levels are rounded to 0.1 Wh and efficiencies to a millionth: at most some $1e-4 a day. Times are exact.
        Raises `InvalidInput` where `from_bytes` would refuse it: too long, or levels that are unknown or out of order.
        """
        check_policy(len(self.levels), in_order=all(map(_in_order, self.levels)))
        head = head_bytes(self.bounds_us, (self.charge_efficiency_ratio, self.discharge_efficiency_ratio))
        steps = [_zigzag(step) for column in zip(*self.levels, strict=True) for step in _steps(column)]
        return sealed(self.basis, head + bytes(_varints(steps)))

    @staticmethod
    def from_bytes(payload: bytes) -> Policy:
        """The policy in `payload`; `InvalidInput` where that is damaged, foreign or makes no sense."""
        basis, body = _opened(payload)
        try:
            numbers = _numbers(body)
            start, charge, discharge, runs = islice(numbers, 4)
            pairs = [(next(numbers), next(numbers)) for _ in range(_within(runs, 1, MAX_INTERVALS))]
            intervals = _within(sum(count for _, count in pairs), 1, MAX_INTERVALS)
            lengths = [_within(length, 1, 1 << 50) for length, count in pairs for _ in range(count)]
            columns = [_rebuilt(islice(numbers, intervals), intervals) for _ in range(4)]
            _within(len(list(numbers)), 0, 0)
            into, out = (_within(ratio, 1, round(_PPM)) / _PPM for ratio in (charge, discharge))
        except (ValueError, RuntimeError, StopIteration) as error:
            raise InvalidInput(
                "policy", payload[:16], f"must be a whole policy: {error}", "Ask for it again."
            ) from error
        levels = tuple(map(Levels._make, zip(*columns, strict=True)))
        if not all(map(_in_order, levels)):
            raise InvalidInput("policy", payload[:16], "must have levels in the order buy ≤ keep, use ≤ sell")
        return Policy(tuple(accumulate(lengths, initial=_within(start, 0, 1 << 62))), levels, into, out, Basis(basis))


def check_policy(intervals: int, *, in_order: bool) -> None:
    """Refuse what no edge would take."""
    if not 1 <= intervals <= MAX_INTERVALS:
        raise InvalidInput("policy's intervals", intervals, f"must be 1 to {MAX_INTERVALS}", "Cut `levels`.")
    if not in_order:
        raise InvalidInput("policy's levels", "out of order", "must be finite, 0 or more, buy ≤ keep, use ≤ sell")


def head_bytes(bounds_us: Sequence[int], efficiency_ratio: tuple[float, float]) -> bytes:
    """What stands before the levels: when each begins, and the efficiencies of charging and discharging."""
    lengths = [end - begin for begin, end in pairwise(bounds_us)]
    runs = [(length, len(list(run))) for length, run in groupby(lengths)]
    ratios = [round(ratio * _PPM) for ratio in efficiency_ratio]
    return bytes(_varints([bounds_us[0], *ratios, len(runs), *chain.from_iterable(runs)]))


def sealed(basis: Basis, plain: bytes) -> bytes:
    """The whole payload: packed where that is shorter, with version and checksum."""
    packed = zlib.compress(plain, 9, wbits=-15)
    smaller = len(packed) < len(plain)
    body = _MAGIC + bytes([basis | (0x80 if smaller else 0)]) + (packed if smaller else plain)
    return body + zlib.crc32(body).to_bytes(_CHECK_BYTES, "little")


def _in_order(levels: Levels) -> bool:
    """Whether levels make sense once they are rounded to tenths of Wh; unknown ones do not."""
    buy, keep, use, sell = levels
    return -0.5 / STEPS_PER_KWH < buy <= keep <= sell < inf and buy <= use <= sell


def _opened(payload: bytes) -> tuple[int, bytes]:
    """Basis and plain numbers of a payload that is whole and of this version."""
    body, check = payload[:-_CHECK_BYTES], payload[-_CHECK_BYTES:]
    if len(payload) > MAX_BYTES:
        raise InvalidInput("policy's length", len(payload), f"must not exceed {MAX_BYTES} bytes")
    if body[: len(_MAGIC)] != _MAGIC or len(body) <= len(_MAGIC):
        raise InvalidInput("policy", payload[:16], "must begin with a version of the policy format known here")
    if zlib.crc32(body).to_bytes(_CHECK_BYTES, "little") != check:
        raise InvalidInput("policy", payload[:16], "is damaged: its checksum differs", "Ask for it again.")
    flags, rest = body[len(_MAGIC)], body[len(_MAGIC) + 1 :]
    if flags & 0x7F not in list(Basis):
        raise InvalidInput("policy's basis", flags & 0x7F, f"must be one of {[basis.value for basis in Basis]}")
    if flags & 0x80:
        unpacking = zlib.decompressobj(wbits=-15)
        try:
            rest = unpacking.decompress(rest, _MAX_UNPACKED)
        except zlib.error as error:
            raise InvalidInput("policy", payload[:16], f"cannot be unpacked: {error}") from error
    return flags & 0x7F, rest


def _within(number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise ValueError(f"{number} is not between {low} and {high}")
    return number


def _steps(column: Iterable[float]) -> Iterator[int]:
    """A level in tenths of Wh, each as the step from the one before."""
    last = 0
    for level in column:
        now = round(level * STEPS_PER_KWH)
        yield now - last
        last = now


def _rebuilt(steps: Iterable[int], count: int) -> list[float]:
    values = [whole / STEPS_PER_KWH for whole in accumulate([(step >> 1) ^ -(step & 1) for step in steps])]
    _within(len(values), count, count)
    return values


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _varints(numbers: Iterable[int]) -> Iterator[int]:
    """Seven bits to a byte, the lowest first, the top bit set where more follow."""
    for number in numbers:
        rest = number
        while rest > 0x7F:
            yield rest & 0x7F | 0x80
            rest >>= 7
        yield rest


def _numbers(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
        elif shift > 63:
            raise ValueError("a number has more than 64 bits")
    if shift:
        raise ValueError("it ends within a number")
