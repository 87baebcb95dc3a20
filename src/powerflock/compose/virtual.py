"""`powerflock simulate`: the plant on a memory log and its homes, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from powerflock.autobidder.runner import Runner
from powerflock.compose.parts import CORES, alarm_settings, import_homes, import_prices, ring_settings
from powerflock.domain.arrays import I64
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_S, from_rfc3339, to_rfc3339
from powerflock.domain.errors import InvalidInput
from powerflock.domain.ids import partition_of
from powerflock.domain.registry import Registry
from powerflock.log.memory import MemoryLog
from powerflock.market.venues.replay import ReplayVenue
from powerflock.plant.outlook import BaselineOutlook, Outlook
from powerflock.plant.planner import PlanNow
from powerflock.plant.ring import Ring
from powerflock.settings import Settings
from powerflock.sim import prices as sim_prices
from powerflock.sim.fleet import HOME_KINDS, Devices, SimFleet
from powerflock.sim.perfect import PerfectOutlook
from powerflock.sim.price_files import read_prices
from powerflock.sim.prices import MARKET_TIME_US, PriceSeries, market_midnight_from
from powerflock.sim.profiles import Fleet
from powerflock.sim.report import write_report
from powerflock.sim.simulate import Run, Simulation
from powerflock.sim.sources import load_homes
from powerflock.twins.estimate import EstimateSettings

HISTORY_DAYS = 7
DEFAULT_START = "2026-01-15T00:00:00+10:00"
_TICK_US = 60 * MICROS_PER_S
_CENT_OF_A_CENT = 1e-4


def run_simulation(
    settings: Settings, *, homes: int, homes_file: Path | None, days: int, seed: int, perfect: bool,
    start_us: int | None, homes_start_us: int | None, prices_start_us: int | None, report: Path | None,
    progress: Callable[[float], None],
) -> dict[str, object]:  # fmt: skip
    """Simulate `days` of a plant in virtual time and summarise; see `powerflock simulate --help`."""
    history_us = HISTORY_DAYS * MICROS_PER_DAY
    prices = read_prices(settings.market.prices, settings.plant.region) if settings.market.prices else None
    start = start_us if start_us is not None else _first_day(prices, days)
    if prices is None:
        prices = sim_prices.generated(settings.market.seed, start - history_us, HISTORY_DAYS + days + 2)
    elif prices_start_us is not None:
        prices = prices.shift_days(_days_between(prices_start_us, start, "--prices-start"))
    end = start + days * MICROS_PER_DAY
    if homes_file is None:
        fleet = load_homes(None, homes, seed, start - history_us, HISTORY_DAYS + days + 1)
    else:
        fleet = _aligned(load_homes(homes_file, homes, seed, start), start, homes_start_us)
    interval_us = settings.plant.interval_s * MICROS_PER_S
    known_until = end + max(0, min(MICROS_PER_DAY, prices.end_us - end)) // interval_us * interval_us
    if report is not None:
        _check_writable(report)
    with ThreadPoolExecutor(CORES) as pool:
        simulation, runner = _virtual_plant(
            settings, fleet, prices, seed, start, known_until if perfect else None, pool
        )
        run = simulation.run(start, end, known_until, MARKET_TIME_US, progress)
    if report is not None:
        write_report(
            report, run, runner.ring.account, summary(run, runner, fleet, prices, perfect=perfect), runner.settled
        )
    return summary(run, runner, fleet, prices, perfect=perfect)


def summary(run: Run, runner: Runner, fleet: Fleet, prices: PriceSeries, *, perfect: bool) -> dict[str, object]:
    """What `powerflock simulate` prints. Money in $, bills with wear and the energy left; energy + = to the grid."""
    account, top_up = runner.ring.account, run.top_up
    alone, before = np.stack([day.alone for day in run.days]), np.stack([day.vpp - day.paid for day in run.days])
    after = before - top_up - np.stack([day.share for day in run.days])
    worse_before, worse = before > alone + _CENT_OF_A_CENT, after > alone + _CENT_OF_A_CENT
    return {
        "trace_hash": run.trace_hash,
        "simulated": True,
        "homes": len(fleet.specs),
        "homes_source": fleet.source,
        "price_source": prices.source,
        "forecast": "perfect" if perfect else "real",
        "days": len(run.days),
        "intervals": run.intervals,
        "bill_alone": round(float(alone.sum()), 6),
        "bill_with_vpp": round(float(after.sum()), 6),
        "worse_off_homes": int(worse.any(axis=0).sum()),
        "worse_off_homes_before_top_up": int(worse_before.any(axis=0).sum()),
        "worse_off_home_days_before_top_up": int(worse_before.sum()),
        "top_up": round(float(top_up.sum()), 6),
        "owner_payments": round(account.owner_payments, 6),
        "market_account": round(account.market_revenue, 6),
        "earned_on_deviation": round(account.earned, 6),
        "fleet_margin": round(account.fleet_margin, 6),
        "share_of_perfect": None if np.isnan(run.share_of_perfect) else round(run.share_of_perfect, 6),
        "awarded_kwh": round(account.awarded_mwh * 1000, 6),
        "delivered_kwh": round(account.delivered_mwh * 1000, 6),
        "delivery_error_ratio": round(account.deviation_mwh / max(account.absolute_award_mwh, 1e-9), 6),
    }


def _virtual_plant(
    settings: Settings, fleet: Fleet, prices: PriceSeries, seed: int, start_us: int, horizon_end_us: int | None,
    pool: ThreadPoolExecutor,
) -> tuple[Simulation, Runner]:  # fmt: skip
    """The plant on a memory log, enrolled and with the week before imported, and the two worlds of its homes."""
    log = MemoryLog()
    registry = Registry.empty(1)
    ages = EstimateSettings.alike(2 * _TICK_US, 3 * _TICK_US, 10 * _TICK_US)
    for_ring = ring_settings(settings, ages, horizon_end_us)
    venue = ReplayVenue(prices.start_us, prices.step_us, prices.price_per_mwh, for_ring.interval_us)
    rows = _rows(fleet, registry)
    outlook: Outlook
    if horizon_end_us is not None:
        outlook = PerfectOutlook(fleet.profiles, rows, prices)
    else:
        outlook = BaselineOutlook(registry.partitions)
    runner = Runner(
        log, lambda epoch: Ring(registry, for_ring, outlook, venue, PlanNow(pool.map), epoch), None,
        alarms=alarm_settings(settings),
    )  # fmt: skip
    outcome = runner.enrol(fleet.specs)
    if outcome.reasons:
        site, reason = next(iter(outcome.reasons.items()))
        raise InvalidInput(f"home {site}", reason, "cannot be enrolled")
    if isinstance(outlook, BaselineOutlook):
        import_homes(outlook, fleet.profiles, rows, start_us)
        import_prices(outlook, prices, start_us)
    devices = _devices(fleet, registry, rows)
    worlds = [SimFleet(fleet.specs, fleet.profiles, start_us, seed) for _ in range(2)]
    return Simulation(runner, log, worlds[0], worlds[1], rows, devices, _TICK_US), runner


def _rows(fleet: Fleet, registry: Registry) -> list[I64]:
    """For each partition, the homes' rows in the order in which they will be enrolled."""
    home = np.array([partition_of(spec.site, registry.partitions) for spec in fleet.specs])
    return [np.flatnonzero(home == partition).astype(np.int64) for partition in range(registry.partitions)]


def _devices(fleet: Fleet, registry: Registry, rows: list[I64]) -> Devices:
    index = np.full((3, len(fleet.specs)), -1, np.int64)
    for partition, homes in enumerate(rows):
        table = registry.table(partition)
        index[:, homes] = np.stack([table.first_of(kind) for kind in HOME_KINDS])
    return Devices(index)


def _check_writable(file: Path) -> None:
    """Refuse a report that cannot be written now, rather than after the simulation."""
    if any(find_spec(name) is None for name in ("jinja2", "matplotlib")):
        raise InvalidInput("--report", str(file), "needs jinja2 and matplotlib", "Install powerflock[report].")
    try:
        file.touch()
    except OSError as error:
        raise InvalidInput("--report", str(file), f"cannot be written: {error.strerror}", "Choose another.") from error


def _first_day(prices: PriceSeries | None, days: int) -> int:
    """The default start: a fixed date for generated prices; in a file its first day, after a week if it has one."""
    if prices is None:
        return from_rfc3339(DEFAULT_START)
    first = market_midnight_from(prices.start_us)
    week = first + HISTORY_DAYS * MICROS_PER_DAY
    return week if week + (days + 1) * MICROS_PER_DAY <= prices.end_us else first


def _days_between(from_us: int, to_us: int, option: str) -> int:
    days, rest = divmod(to_us - from_us, MICROS_PER_DAY)
    if rest:
        raise InvalidInput(
            option, to_rfc3339(from_us), f"must be a whole number of days from the start {to_rfc3339(to_us)}",
            "Give the same time of day.",
        )  # fmt: skip
    return days


def _aligned(fleet: Fleet, start_us: int, homes_start_us: int | None) -> Fleet:
    """Recorded homes moved by whole days so that `homes_start_us` (default: a week in) falls on the start."""
    profiles = fleet.profiles
    week = min(HISTORY_DAYS, profiles.days - 1)
    from_us = homes_start_us if homes_start_us is not None else profiles.start_us + week * MICROS_PER_DAY
    if (
        homes_start_us is not None
        and not profiles.start_us <= homes_start_us < profiles.start_us + profiles.days * MICROS_PER_DAY
    ):
        raise InvalidInput(
            "--homes-start",
            to_rfc3339(homes_start_us),
            f"must lie in the {profiles.days} days from {to_rfc3339(profiles.start_us)}",
        )
    moved = round((start_us - from_us) / MICROS_PER_DAY)
    return replace(fleet, profiles=replace(profiles, start_us=profiles.start_us + moved * MICROS_PER_DAY))
