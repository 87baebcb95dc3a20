"""What each site was told, what its edge confirmed of it and how its link is, as columns of one moment.

Invariants: a copy, so that whoever reads it while the twins go on sees one moment; what is no longer in force is
neither desired nor applied; nothing counts as applied that no edge has confirmed. Must not know what a meter says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F64, I32, I64, U8, Records
from powerflock.twins.columns import ANSWER_APPLIED, Shard, held_kw


class CommandState(IntEnum):
    """What became of a site's last command.

    `WAITING` turns into `UNCONFIRMED` when the edge takes too long to answer. `EXPIRED` is whatever ran out: without an
    answer, after it was applied, or before it reached the edge, which then says so.
    """

    NONE = 0
    WAITING = 1
    UNCONFIRMED = 2
    APPLIED = 3
    REFUSED = 4
    EXPIRED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Commanded:
    """(S,) columns: setpoints in kW, passive, NaN where none is in force; times in µs, 0 for never.

    `desired_kw` is the newest command's, given at `desired_us` until `expires_us`; `applied_kw` is what the edge said
    at `answered_us` that it holds. `metered_us` is when the meter was last read, `state` a `CommandState`, `link` a
    `Link`.
    """

    desired_kw: F64
    applied_kw: F64
    desired_us: I64
    expires_us: I64
    answered_us: I64
    metered_us: I64
    state: U8
    link: U8


def commanded(shard: Shard, now_us: int, patience_us: int) -> Commanded:
    """The shard's sites at `now_us`; a command without an answer for more than `patience_us` is unconfirmed."""
    sites = shard.sites.size
    power_kw, times_us = np.empty((2, sites)), np.empty((4, sites), np.int64)
    state, link = np.empty(sites, np.uint8), np.empty(sites, np.uint8)
    meters = shard.table.meter_device
    _read(shard.sites, shard.devices, meters, now_us, now_us - patience_us, power_kw, times_us, state, link)
    return Commanded(power_kw[0], power_kw[1], times_us[0], times_us[1], times_us[2], times_us[3], state, link)


_APPLIED_ANSWER, _REFUSED_ANSWER = ANSWER_APPLIED, ANSWER_APPLIED + 1
_NONE, _WAITING, _UNCONFIRMED, _APPLIED, _REFUSED, _EXPIRED = (int(state) for state in CommandState)


@kernel
def _read(
    sites: Records, devices: Records, meters: I32, now_us: int, waits_from_us: int, power_kw: F64, times_us: I64,
    state: U8, link: U8,
) -> None:  # fmt: skip
    for row in range(sites.size):
        site = sites[row]
        in_force = site.expires_us > now_us
        power_kw[0, row] = site.desired_kw if in_force else np.nan
        power_kw[1, row] = held_kw(sites, row) if in_force else np.nan
        times_us[0, row], times_us[1, row], times_us[2, row] = site.desired_us, site.expires_us, site.answered_us
        times_us[3, row] = devices[meters[row]].time_us
        link[row] = site.link
        state[row] = _state(sites, row, in_force, waits_from_us)


@kernel
def _state(sites: Records, row: int, in_force: bool, waits_from_us: int) -> int:  # noqa: FBT001 - a kernel's column
    site = sites[row]
    if site.desired_seq < 0:
        return _NONE
    answered = site.answered_seq >= site.desired_seq
    if answered and site.answer == _REFUSED_ANSWER:
        return _REFUSED
    if not in_force or (answered and site.answer != _APPLIED_ANSWER):
        return _EXPIRED
    if answered:
        return _APPLIED
    return _UNCONFIRMED if site.desired_us < waits_from_us else _WAITING
