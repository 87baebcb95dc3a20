"""Commands as columns: bounded in time, numbered per site, sent only when they say something new.

A command holds a net power at the connection point until it expires; then the edge reverts by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I64, U8, Records
from powerflock.domain.columns import COMMAND

DEADBAND_KW = 0.005


@dataclass(slots=True)
class CommandBook:
    """What each of S sites was last told: sequence, setpoint kW (NaN: nothing yet) and expiry, (S,) each."""

    seq: I64
    setpoint_kw: F64
    expires_us: I64

    @staticmethod
    def empty(sites: int, first_seq: int) -> CommandBook:
        """Nothing told yet; sequences continue above `first_seq`, which must exceed any used before a restart."""
        return CommandBook(np.full(sites, first_seq, np.int64), np.full(sites, np.nan), np.zeros(sites, np.int64))

    def grow(self, sites: int, first_seq: int) -> None:
        """Add sites that were told nothing yet."""
        more = CommandBook.empty(sites - self.seq.size, first_seq)
        self.seq = np.concatenate([self.seq, more.seq])
        self.setpoint_kw = np.concatenate([self.setpoint_kw, more.setpoint_kw])
        self.expires_us = np.concatenate([self.expires_us, more.expires_us])


def issue(
    book: CommandBook, setpoint_kw: F64, price_per_kwh: F64, issuer: U8, now_us: int, life_us: int, epoch: int
) -> Records:  # fmt: skip
    """COMMAND rows for sites whose setpoint (S,) moved or whose command is halfway to its expiry; NaN: no command."""
    moved = ~(np.abs(setpoint_kw - book.setpoint_kw) <= DEADBAND_KW)
    fading = book.expires_us - now_us < life_us // 2
    rows = np.flatnonzero((moved | fading) & np.isfinite(setpoint_kw))
    book.seq[rows] += 1
    book.setpoint_kw[rows] = setpoint_kw[rows]
    book.expires_us[rows] = now_us + life_us
    commands = np.zeros(rows.size, COMMAND)
    commands["site"], commands["seq"] = rows, book.seq[rows]
    commands["setpoint_kw"], commands["price_per_kwh"] = setpoint_kw[rows], price_per_kwh[rows]
    commands["not_before_us"], commands["expires_us"] = now_us, now_us + life_us
    commands["epoch"], commands["issuer"] = epoch, issuer[rows]
    return commands
