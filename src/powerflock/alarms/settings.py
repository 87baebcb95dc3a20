"""What the alarm rules go by. Every default has its reason in docs/alarms.md. Must not know any column."""

from __future__ import annotations

from dataclasses import dataclass

from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_S


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """When a group's count of marked sites is more than chance, and enough to tell an operator.

    A group needs `least_sites` marked sites, `least_ratio` of its sites, `least_risk` times the ratio elsewhere, and a
    log-likelihood ratio of `quiet_nats` + ln(groups compared). One that has an alarm keeps it down to `held_ratio` of
    these. The whole portfolio is held against `chance_ratio`. At most `most` groups are named for one rule at a time.
    """

    least_sites: int = 5
    least_ratio: float = 0.05
    least_risk: float = 2.0
    quiet_nats: float = 18.0
    held_ratio: float = 0.5
    chance_ratio: float = 0.01
    most: int = 20


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """All rules' thresholds: `..._us` are µs, `..._ratio` 0–1.

    Dropout: contact lost for about `usual_us` counts as usual from then on, contact kept for `return_us` as back; no
    dropout is told in the first `settle_us` of a process. All else: each site is looked at every `look_us`.
    Wrong sign: a setpoint that moves by `step_kw` asks for a response within `respond_us`; the meter moving by
    `response_ratio` of it the other way, `wrong_responses` times in a row, is wrong. Drift: energy beyond
    `drift_bound_kw` or `drift_bound_ratio` of the nameplate power, above `drift_kwh`. Both only where the battery is
    further than `headroom_ratio` from the end it would run to. Derating: limits below `derated_ratio` of the nameplate
    between `mid_low_ratio` and `mid_high_ratio` of full, and off the reserve, for `derated_us`. Fade: full-pack energy
    below `faded_ratio` of the nameplate, until `recovered_ratio`; or below `sudden_ratio` of the most seen today and
    yesterday (UTC), for `sudden_us`. An alarm clears `clear_us` after it was last true; cleared ones nobody
    acknowledged go after `keep_us`.
    """

    scan: ScanSettings = ScanSettings()
    usual_us: int = 12 * MICROS_PER_HOUR
    return_us: int = 600 * MICROS_PER_S
    settle_us: int = 120 * MICROS_PER_S
    look_us: int = 10 * MICROS_PER_S
    step_kw: float = 1.0
    respond_us: int = 30 * MICROS_PER_S
    response_ratio: float = 0.25
    wrong_responses: int = 3
    headroom_ratio: float = 0.05
    drift_bound_kw: float = 0.5
    drift_bound_ratio: float = 0.1
    drift_kwh: float = 0.2
    derated_ratio: float = 0.5
    mid_low_ratio: float = 0.2
    mid_high_ratio: float = 0.8
    derated_us: int = 300 * MICROS_PER_S
    faded_ratio: float = 0.7
    recovered_ratio: float = 0.72
    sudden_ratio: float = 0.9
    sudden_us: int = 1_800 * MICROS_PER_S
    clear_us: int = 60 * MICROS_PER_S
    keep_us: int = 7 * MICROS_PER_DAY
    examples: int = 10
