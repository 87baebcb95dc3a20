"""The rules themselves: kernels that look at site rows and mark those to which a rule applies.

Invariants: a rule that has no evidence (unknown, stale or idle) changes no mark but by the decay it names; a site
counts under its gravest rule: one that answers the wrong way round is not also adrift, a sudden loss of capacity is not
also fade. Rows are [first, end). Must not know groups, nor the time but as passed in.
"""

from __future__ import annotations

import numpy as np

from powerflock.alarms.memory import ABSENT, Memory, Rule
from powerflock.alarms.settings import AlarmSettings
from powerflock.curve.jit import kernel
from powerflock.domain.arrays import F32, F64, I32, U8, Bools, Records
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S
from powerflock.twins.columns import applied_kw
from powerflock.twins.estimate import Freshness, SiteColumns

_FRESH, _SILENT = int(Freshness.FRESH), int(Freshness.SILENT)
_MISSED, _WRONG, _DRIFT, _DERATED, _FADED, _SUDDEN = (np.uint8(1 << rule) for rule in Rule)
_ABSENT = np.uint8(1 << ABSENT)


def mark_missed(
    memory: Memory, freshness: U8, place: I32, frozen: Bools, elapsed_us: int, settings: AlarmSettings, *, tell: bool
) -> None:
    """Mark the sites of which nothing fresh is known, unless that is usual for them; learn what is usual.

    `frozen` places, those of an alarm, learn no loss, or a long alarm would become usual. Unless `tell`, a lost site
    counts as usually lost.
    """
    stays, returns = (1.0 - 2.0 ** (-elapsed_us / half_us) for half_us in (settings.usual_us, settings.return_us))
    _missed(freshness, place, frozen, stays, returns, tell, memory.usual, memory.marks)


def look(
    memory: Memory, columns: SiteColumns, sites: Records, first: int, end: int, now_us: int, since_us: int,
    settings: AlarmSettings,
) -> None:  # fmt: skip
    """Judge responses, drift, derating and fade of rows [first, end), last looked at some `since_us` µs ago."""
    rows = slice(first, end)
    table, twins = columns.table, sites[rows]
    setpoint_kw = np.where(twins["expires_us"] > now_us, applied_kw(twins), np.nan)
    own, marks, freshness = memory.sites[rows], memory.marks[rows], columns.freshness[rows]
    meter_kw, battery_kw = columns.meter_kw[rows], columns.battery_kw[rows]
    stored_kwh, full_kwh = columns.stored_kwh[rows], columns.capacity_kwh[rows]
    charge_kw, discharge_kw = columns.charge_limit_kw[rows], columns.discharge_limit_kw[rows]
    plate_charge_kw, plate_discharge_kw = table.charge_limit_kw[rows], table.discharge_limit_kw[rows]
    bounds = np.array([settings.step_kw, settings.response_ratio, settings.headroom_ratio])
    _responses(
        own, marks, freshness, meter_kw, setpoint_kw, stored_kwh, full_kwh, table.reserve_kwh[rows], now_us,
        settings.respond_us, settings.wrong_responses, bounds,
    )  # fmt: skip
    bounds = np.array(
        [settings.drift_bound_kw, settings.drift_bound_ratio, settings.drift_kwh, settings.headroom_ratio]
    )
    _drifts(
        own, marks, freshness, meter_kw, setpoint_kw, battery_kw, stored_kwh, full_kwh, table.reserve_kwh[rows],
        charge_kw, discharge_kw, plate_charge_kw, plate_discharge_kw, since_us / MICROS_PER_HOUR, bounds,
    )  # fmt: skip
    bounds = np.array(
        [settings.derated_ratio, settings.mid_low_ratio, settings.mid_high_ratio, settings.headroom_ratio]
    )
    _deratings(
        own, marks, freshness, stored_kwh, full_kwh, table.reserve_kwh[rows], charge_kw, discharge_kw, plate_charge_kw,
        plate_discharge_kw, since_us / MICROS_PER_S, settings.derated_us / MICROS_PER_S, bounds,
    )  # fmt: skip
    bounds = np.array([settings.faded_ratio, settings.recovered_ratio, settings.sudden_ratio])
    _fades(
        own, marks, freshness, full_kwh, table.capacity_kwh[rows], since_us / MICROS_PER_S,
        settings.sudden_us / MICROS_PER_S, bounds,
    )  # fmt: skip


@kernel
def _missed(
    freshness: U8, place: I32, frozen: Bools, stays: float, returns: float, tell: bool, usual: F32, marks: U8  # noqa: FBT001
) -> None:  # fmt: skip
    for site in range(freshness.size):
        if freshness[site] == _FRESH:
            marks[site] &= ~(_MISSED | _ABSENT)
            usual[site] -= usual[site] * returns
            continue
        if tell and usual[site] < 0.5:
            marks[site] = (marks[site] | _MISSED) & ~_ABSENT
        else:
            marks[site] = (marks[site] | _ABSENT) & ~_MISSED
        if not frozen[place[site]]:
            usual[site] += (1.0 - usual[site]) * stays


@kernel
def _responses(
    own: Records, marks: U8, freshness: U8, meter_kw: F64, setpoint_kw: F64, stored_kwh: F64, full_kwh: F64,
    reserve_kwh: F64, now_us: int, respond_us: int, enough: int, bounds: F64,
) -> None:  # fmt: skip
    """Wrong sign: the setpoint moved, the meter moved the other way and away from it, several times in a row.

    Where there was no setpoint before, it counts as having been where the meter was.
    """
    step_kw, response_ratio, headroom_ratio = bounds
    for i in range(marks.size):
        site, meter, setpoint = own[i], meter_kw[i], setpoint_kw[i]
        if freshness[i] == _SILENT:
            site.wrong = 0
            marks[i] &= ~_WRONG
        if freshness[i] != _FRESH or np.isnan(meter) or np.isnan(setpoint):
            site.from_kw, site.setpoint_kw = np.nan, np.nan
            site.meter_kw = meter if freshness[i] == _FRESH else np.nan
            continue
        if not abs(setpoint - site.setpoint_kw) < step_kw:
            before = site.meter_kw if np.isnan(site.setpoint_kw) else site.setpoint_kw
            site.from_kw, site.asked_kw, site.told_us = site.meter_kw, setpoint - before, now_us
        elif not np.isnan(site.from_kw) and now_us - site.told_us >= respond_us:
            asked = site.asked_kw
            nearer = abs(meter - setpoint) <= max(abs(site.from_kw - setpoint), step_kw)
            room = headroom_ratio * full_kwh[i]
            able = stored_kwh[i] < full_kwh[i] - room if asked > 0.0 else stored_kwh[i] > reserve_kwh[i] + room
            if able and abs(asked) >= step_kw:
                towards = (meter - site.from_kw) / asked
                if towards <= -response_ratio and not nearer:
                    site.wrong = min(site.wrong + 1, enough)
                elif towards >= response_ratio and nearer:
                    site.wrong = 0
            site.from_kw = np.nan
        site.meter_kw, site.setpoint_kw = meter, setpoint
        if site.wrong >= enough:
            marks[i] |= _WRONG
        elif site.wrong == 0:
            marks[i] &= ~_WRONG


@kernel
def _drifts(
    own: Records, marks: U8, freshness: U8, meter_kw: F64, setpoint_kw: F64, battery_kw: F64, stored_kwh: F64,
    full_kwh: F64, reserve_kwh: F64, charge_kw: F64, discharge_kw: F64, plate_charge_kw: F64, plate_discharge_kw: F64,
    since_h: float, bounds: F64,
) -> None:  # fmt: skip
    """Drift: Page's two cumulative sums (Biometrika 41, 1954) of the meter's distance from the setpoint, in kWh.

    Each adds what exceeds the bound and takes off what is missing to it; without evidence the site counts as on its
    setpoint. Marked above `drift_kwh`, until both sums are back at zero.
    """
    bound_kw, bound_ratio, drift_kwh, headroom_ratio = bounds
    for i in range(marks.size):
        site = own[i]
        bound = max(bound_kw, bound_ratio * max(plate_charge_kw[i], plate_discharge_kw[i]))
        off = meter_kw[i] - setpoint_kw[i]
        room = headroom_ratio * full_kwh[i]
        if off > 0.0:
            able = stored_kwh[i] > reserve_kwh[i] + room and battery_kw[i] - bound > -discharge_kw[i]
        else:
            able = stored_kwh[i] < full_kwh[i] - room and battery_kw[i] + bound < charge_kw[i]
        if freshness[i] != _FRESH or np.isnan(off) or not able:
            off = 0.0
        site.over_kwh = min(max(site.over_kwh + (off - bound) * since_h, 0.0), 2.0 * drift_kwh)
        site.under_kwh = min(max(site.under_kwh + (-off - bound) * since_h, 0.0), 2.0 * drift_kwh)
        most = max(site.over_kwh, site.under_kwh)
        if marks[i] & _WRONG or most == 0.0:
            marks[i] &= ~_DRIFT
        elif most > drift_kwh:
            marks[i] |= _DRIFT


@kernel
def _deratings(
    own: Records, marks: U8, freshness: U8, stored_kwh: F64, full_kwh: F64, reserve_kwh: F64, charge_kw: F64,
    discharge_kw: F64, plate_charge_kw: F64, plate_discharge_kw: F64, since_s: float, enough_s: float, bounds: F64,
) -> None:  # fmt: skip
    """Derating: a limit far below the nameplate where the stored energy does not ask for it.

    Near the owner's reserve it does: the limit fades out towards it.
    """
    derated_ratio, mid_low_ratio, mid_high_ratio, headroom_ratio = bounds
    for i in range(marks.size):
        if freshness[i] != _FRESH or np.isnan(charge_kw[i]) or np.isnan(discharge_kw[i]):
            continue
        low = (
            charge_kw[i] < derated_ratio * plate_charge_kw[i]
            or discharge_kw[i] < derated_ratio * plate_discharge_kw[i]
        )  # fmt: skip
        if not low:
            own[i].derated_s = 0.0
            marks[i] &= ~_DERATED
            continue
        lowest_kwh = max(mid_low_ratio * full_kwh[i], reserve_kwh[i] + headroom_ratio * full_kwh[i])
        if lowest_kwh <= stored_kwh[i] <= mid_high_ratio * full_kwh[i]:
            own[i].derated_s = min(own[i].derated_s + since_s, enough_s)
            if own[i].derated_s >= enough_s:
                marks[i] |= _DERATED


@kernel
def _fades(
    own: Records, marks: U8, freshness: U8, full_kwh: F64, plate_kwh: F64, since_s: float, enough_s: float, bounds: F64
) -> None:  # fmt: skip
    """Fade and sudden fade: full-pack energy against the nameplate, and against the best of two days."""
    faded_ratio, recovered_ratio, sudden_ratio = bounds
    for i in range(marks.size):
        site, full = own[i], full_kwh[i]
        if freshness[i] != _FRESH or np.isnan(full) or plate_kwh[i] <= 0.0:
            continue
        best = max(full, np.float64(site.today_kwh)) if site.today_kwh == site.today_kwh else full
        site.today_kwh = best
        if site.yesterday_kwh == site.yesterday_kwh:
            best = max(best, np.float64(site.yesterday_kwh))
        site.low_s = min(site.low_s + since_s, enough_s) if full < sudden_ratio * best else 0.0
        if site.low_s >= enough_s:
            marks[i] |= _SUDDEN
        elif site.low_s == 0.0:
            marks[i] &= ~_SUDDEN
        if marks[i] & _SUDDEN or full >= recovered_ratio * plate_kwh[i]:
            marks[i] &= ~_FADED
        elif full < faded_ratio * plate_kwh[i]:
            marks[i] |= _FADED


@kernel
def tally(marks: U8, place: I32, first_place: int, power_kw: F64, counts: F64, affected_kw: F64) -> None:
    """Add marked sites and their `power_kw` to their places' columns; `counts`, `affected_kw` are (rules + 1, P)."""
    for site in range(marks.size):
        left = marks[site]
        rule = 0
        while left:
            if left & 1:
                counts[rule, first_place + place[site]] += 1.0
                affected_kw[rule, first_place + place[site]] += power_kw[site]
            left >>= 1
            rule += 1


@kernel
def examples(marks: U8, place: I32, first_place: int, rule: int, chosen: Bools, found: I32) -> int:
    """Put the first rows marked by `rule` in the `chosen` (P,) places into `found` (E,); returns how many they are."""
    count = 0
    for site in range(marks.size):
        if count == found.size:
            break
        if (marks[site] >> rule) & 1 and chosen[first_place + place[site]]:
            found[count] = site
            count += 1
    return count
