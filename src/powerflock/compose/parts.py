"""What the virtual and the live plant share: settings turned into parts, and the week before imported."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from powerflock.alarms import AlarmSettings, ScanSettings
from powerflock.domain.arrays import I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_S
from powerflock.forecast.history import DAYS, SLOT_US
from powerflock.market.programme import Programme, check_programme
from powerflock.plant.model import RingSettings
from powerflock.plant.outlook import BaselineOutlook
from powerflock.settings import Settings
from powerflock.sim.prices import PriceSeries
from powerflock.sim.profiles import Profiles
from powerflock.twins.estimate import EstimateSettings

CORES = 2
_REPORT_LIFE_S = 10.0
"""Wall seconds after which a partition that does not report is out of reach."""
_TURNS_TO_RESPOND = 3


def ring_settings(
    settings: Settings, estimate: EstimateSettings | None = None, horizon_end_us: int | None = None
) -> RingSettings:
    """The ring's settings out of the user's; a live plant's `estimate` is `live_ages`."""
    given = settings.programme
    kept = given.reimbursement_per_kwh if given.kind != "front_of_meter" else 0.0
    interval_us = settings.plant.interval_s * MICROS_PER_S
    return RingSettings(
        promise=settings.market.promise,
        interval_us=interval_us,
        horizon_intervals=round(settings.plan.horizon_h * MICROS_PER_HOUR / interval_us),
        horizon_end_us=horizon_end_us,
        plan_every=settings.plan.every_intervals,
        policy_every=settings.plan.policy_intervals,
        command_life_us=2 * interval_us,
        report_life_us=round(max(10.0 * settings.plant.tick_s, _REPORT_LIFE_S) * MICROS_PER_S * settings.plant.speed),
        feeder_import_limit_kw=_limit(settings.network.feeder_import_limit_kw),
        feeder_export_limit_kw=_limit(settings.network.feeder_export_limit_kw),
        estimate=estimate or live_ages(settings),
        programme=check_programme(Programme(given.kind, kept, given.loss_factor_ratio, given.owner_share_ratio)),
    )


def live_ages(settings: Settings) -> EstimateSettings:
    """When devices count as stale and silent, in the plant's time."""
    wall = MICROS_PER_S * settings.plant.speed
    own, tick = settings.estimate, settings.plant.tick_s
    return EstimateSettings(
        round(3 * tick * wall),
        tuple(round(seconds * wall) for seconds in own.stale_by_kind_s()),
        tuple(round(seconds * wall) for seconds in own.silent_by_kind_s()),
    )


def alarm_settings(settings: Settings, speed: float = 1.0) -> AlarmSettings:
    """The alarms' bounds out of the user's; what is about contact is wall time, `speed` plant seconds each.

    Commands and meters take wall time too: where the plant's clock runs faster, a response is awaited for a few turns
    at least, and a deviation is given that much more energy.
    """
    given, wall, rules = settings.alarms, MICROS_PER_S * speed, AlarmSettings()
    return replace(
        rules,
        scan=ScanSettings(least_sites=given.least_sites, least_ratio=given.least_ratio),
        settle_us=round(given.settle_s * wall),
        clear_us=round(given.clear_s * wall),
        usual_us=round(given.usual_after_s * wall),
        return_us=round(given.return_s * wall),
        keep_us=round(given.keep_days * MICROS_PER_DAY),
        respond_us=max(rules.respond_us, round(_TURNS_TO_RESPOND * settings.plant.tick_s * wall)),
        drift_kwh=rules.drift_kwh * max(speed, 1.0),
    )


def _limit(given_kw: float | None) -> float:
    return math.inf if given_kw is None else given_kw


def import_homes(outlook: BaselineOutlook, profiles: Profiles, rows: list[I64], start_us: int) -> None:
    """Meter data of the week before `start_us`, as a retailer would load it when a home joins."""
    steps = SLOT_US // profiles.step_us
    for slot in _week(start_us):
        if slot * SLOT_US < profiles.start_us:
            continue
        columns = [profiles.index(slot * SLOT_US) + step for step in range(steps)]
        load, solar = profiles.load_kw[:, columns].mean(axis=1), profiles.solar_kw[:, columns].mean(axis=1)
        for partition, homes in enumerate(rows):
            outlook.import_history(
                partition, slot, load[homes].astype(np.float64), solar[homes].astype(np.float64), (slot + 1) * SLOT_US
            )


def import_prices(outlook: BaselineOutlook, prices: PriceSeries, start_us: int) -> None:
    """The market's prices of the week before `start_us`, as far as the series has them."""
    for slot in _week(start_us):
        begin, end = slot * SLOT_US, (slot + 1) * SLOT_US
        if begin >= prices.start_us and end <= prices.end_us:
            outlook.import_price(slot, float(prices.window(begin, end).price_per_mwh.mean()), end)


def _week(start_us: int) -> range:
    return range((start_us - DAYS * MICROS_PER_DAY) // SLOT_US, start_us // SLOT_US)
