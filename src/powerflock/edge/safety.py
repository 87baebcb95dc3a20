"""What an edge accepts as a command: newest first, finite, bounded in time; everything else is refused with a reason.

Invariants: (epoch, seq) of accepted commands only grows, home by home; a command always expires. A newer command
replaces older ones from its not-before on, so one that starts later leaves the current one running until then.
Must not know who sent the command, nor what the battery can do: that is the controller's last word.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from powerflock.domain.arrays import F64, I64, U8, Bools, Records
from powerflock.domain.clock import MICROS_PER_HOUR

NEVER_US = np.iinfo(np.int64).min
MAX_HORIZON_US = 24 * MICROS_PER_HOUR
"""Commissioning default: no command may still hold this long after it arrives."""


class Refusal(IntEnum):
    """Why a command was not taken up; ACCEPTED when it was."""

    ACCEPTED = 0
    MALFORMED = 1
    EXPIRED = 2
    BEYOND_HORIZON = 3
    OLDER_EPOCH = 4
    REPLAYED = 5
    UNKNOWN_SITE = 6


@dataclass(frozen=True, slots=True)
class Held:
    """What each home holds, (S,) columns: a current command and perhaps the next; a NaN setpoint means none."""

    epoch: I64
    seq: I64
    setpoint_kw: F64
    not_before_us: I64
    expires_us: I64
    next_setpoint_kw: F64
    next_not_before_us: I64
    next_expires_us: I64

    @staticmethod
    def none(homes: int) -> Held:
        """No command held, none ever seen, for `homes` homes."""
        never, unknown = np.full(homes, NEVER_US), np.full(homes, np.nan)
        return Held(never, never, unknown, never, never, unknown, never, never)


def due(held: Held, now_us: int) -> tuple[F64, Held]:
    """Net setpoints valid at `now_us` ((S,) kW at the connection point, NaN where none) and what is held from then on.

    A next command whose time has come becomes the current one. An expired command is not valid but stays on record.
    """
    starts = ~np.isnan(held.next_setpoint_kw) & (held.next_not_before_us <= now_us)
    if starts.any():
        held = Held(
            held.epoch,
            held.seq,
            np.where(starts, held.next_setpoint_kw, held.setpoint_kw),
            np.where(starts, held.next_not_before_us, held.not_before_us),
            np.where(starts, held.next_expires_us, held.expires_us),
            np.where(starts, np.nan, held.next_setpoint_kw),
            np.where(starts, NEVER_US, held.next_not_before_us),
            np.where(starts, NEVER_US, held.next_expires_us),
        )
    valid = (held.not_before_us <= now_us) & (now_us < held.expires_us)
    return np.where(valid, held.setpoint_kw, np.nan), held


def accept(
    held: Held, commands: Records, rows: I64, now_us: int, max_horizon_us: int = MAX_HORIZON_US
) -> tuple[Held, U8]:
    """Take up `commands` ((N,) with the columns of COMMAND) for the homes `rows` ((N,) into the (S,) columns).

    Returns what is held afterwards and a `Refusal` per command, (N,) u1. Several commands for one home are judged in
    their given order. A newer epoch restarts the sequence; an older one is refused. Nothing is raised.
    """
    reasons = _judge_alone(commands, rows, held.epoch.size, now_us, max_horizon_us)
    held = Held(*(getattr(held, field.name).copy() for field in fields(held)))
    for round_ in _rounds(rows, np.flatnonzero(reasons == Refusal.ACCEPTED)):
        reasons[round_] = _take(held, commands[round_], rows[round_], now_us)
    return held, reasons


def _judge_alone(commands: Records, rows: I64, homes: int, now_us: int, max_horizon_us: int) -> U8:
    """Refusals that need nothing but the command itself; the first rule that fails gives the reason."""
    starts, expires = commands["not_before_us"], commands["expires_us"]
    rules = [
        ((rows < 0) | (rows >= homes), Refusal.UNKNOWN_SITE),
        (~np.isfinite(commands["setpoint_kw"]) | (expires <= starts), Refusal.MALFORMED),
        (expires <= now_us, Refusal.EXPIRED),
        (expires > now_us + max_horizon_us, Refusal.BEYOND_HORIZON),
    ]
    broken: list[Bools] = [rule for rule, _ in rules]
    return np.select(broken, [reason.value for _, reason in rules], Refusal.ACCEPTED.value).astype(np.uint8)


def _rounds(rows: I64, candidates: I64) -> list[I64]:
    """Split `candidates` into rounds in which no home appears twice, keeping each home's order."""
    rounds = []
    while candidates.size:
        _, first = np.unique(rows[candidates], return_index=True)
        rounds.append(candidates[first])
        candidates = np.delete(candidates, first)
    return rounds


def _take(held: Held, commands: Records, rows: I64, now_us: int) -> U8:
    """Write one command for each home of `rows` into `held` in place; refuses what is not newer."""
    epoch, seq = commands["epoch"], commands["seq"]
    older = epoch < held.epoch[rows]
    replayed = (epoch == held.epoch[rows]) & (seq <= held.seq[rows])
    fresh = ~(older | replayed)
    rows, commands = rows[fresh], commands[fresh]
    held.epoch[rows], held.seq[rows] = commands["epoch"], commands["seq"]
    later = commands["not_before_us"] > now_us
    cleared = rows[~later]
    held.next_setpoint_kw[cleared] = np.nan
    held.next_not_before_us[cleared] = held.next_expires_us[cleared] = NEVER_US
    for prefix, part in (("", ~later), ("next_", later)):
        for name in ("setpoint_kw", "not_before_us", "expires_us"):
            getattr(held, prefix + name)[rows[part]] = commands[name][part]
    return np.select([older, replayed], [Refusal.OLDER_EPOCH, Refusal.REPLAYED], Refusal.ACCEPTED).astype(np.uint8)
