"""A plant that exists only as formulas of time: 1,000 homes, a summer's day, an evening dispatch. For the API's tests.

Everything is a pure function of plant time, so history and now agree and any moment can be asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt

from powerflock.api import group_models as g
from powerflock.api import models as m
from powerflock.api.alarm_models import AlarmCounts, AlarmRow
from powerflock.api.paging import LastRow, page_start, page_token
from powerflock.api.queries import SitesQuery
from powerflock.domain.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_S, from_rfc3339, to_rfc3339
from powerflock.domain.errors import InvalidInput, NotFound
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec, check_spec

F64 = npt.NDArray[np.float64]
INTERVAL_US = 300 * MICROS_PER_S
OFFSET_MINUTES = 600
EVENING = from_rfc3339("2026-01-20T18:20:00+10:00")
CAPACITY_MWH = 11.6
PRICES = (-150.0, 0.0, 35.0, 60.0, 95.0, 140.0, 210.0, 300.0, 650.0, 5000.0)
SHARES = (0.12, 0.1, 0.08, 0.1, 0.14, 0.16, 0.12, 0.08, 0.06, 0.04)
OUTCOMES: tuple[m.CommandName, ...] = (*("applied",) * 17, "waiting", "unconfirmed", "refused")
REGIONS = ("Fontana North", "Fontana South", "Bondi")


@dataclass(frozen=True, slots=True)
class Moment:
    """Arrays over the times asked for."""

    target: F64
    delivered: F64
    up: F64
    down: F64
    soc: F64
    coverage: F64
    spot: F64


def wave(time_us: F64, period_s: float, phase: float) -> F64:
    """A sine of plant time."""
    return cast("F64", np.sin(2 * np.pi * (time_us / MICROS_PER_S / period_s) + phase))


def bump(hour: F64, centre: float, width: float) -> F64:
    """A bell over the hour of the day."""
    return cast("F64", np.exp(-0.5 * ((hour - centre) / width) ** 2))


def spot_at(start_us: F64) -> F64:
    """A$/MWh by interval: cheap noon, dear evening, one spike."""
    hour = ((start_us + OFFSET_MINUTES * 60e6) % MICROS_PER_DAY) / MICROS_PER_HOUR
    base = 78 - 105 * bump(hour, 12.5, 2.2) + 260 * bump(hour, 18.9, 0.9) + 40 * bump(hour, 7.5, 1.0)
    rough = 9 * wave(start_us, 5400, 0.4) + 14 * wave(start_us, 1740, 1.9) * bump(hour, 18.5, 2.5)
    return np.round(base + rough + 900 * bump(hour, 18.55, 0.05), 2)


def cleared(spot: F64) -> F64:
    """MW awarded by the bands at a spot price, before scaling."""
    steps = np.asarray(PRICES)[:, None] <= spot[None, :]
    return cast("F64", -2.1 + 5.6 * (np.asarray(SHARES)[:, None] * steps).sum(axis=0))


def moment(time_us: F64) -> Moment:
    """Everything at the times asked for, shape (T,)."""
    start = time_us - time_us % INTERVAL_US
    hour = ((time_us + OFFSET_MINUTES * 60e6) % MICROS_PER_DAY) / MICROS_PER_HOUR
    spot = spot_at(start)
    target = cleared(spot)
    late = cleared(spot_at(start - INTERVAL_US))
    ramp = np.clip((time_us - start) / (45 * MICROS_PER_S), 0.0, 1.0)
    noise = 0.03 * wave(time_us, 97, 0.0) + 0.02 * wave(time_us, 41, 1.0) + 0.015 * wave(time_us, 13, 2.0)
    delivered = late + (target - late) * ramp + noise - 0.12 * bump(hour, 17.2, 0.08)
    day = 0.28 + 0.62 / (1 + np.exp(-(hour - 11.2) * 1.1)) - 0.6 / (1 + np.exp(-(hour - 19.4) * 1.3))
    soc = np.clip(day + 0.004 * wave(time_us, 1800, 0.0), 0.05, 1.0)
    coverage = 0.985 + 0.006 * wave(time_us, 900, 0.3) - 0.17 * bump(hour, 15.4, 0.12)
    up = np.clip(3.9 - delivered - 2.5 * np.clip(0.3 - soc, 0, 1), 0.05, None)
    down = np.clip(delivered + 3.1 - 2.5 * np.clip(soc - 0.7, 0, 1), 0.05, None)
    return Moment(target, delivered, up, down, soc, coverage, spot)


def book_at(now_us: int) -> dict[str, AlarmRow]:
    """Two alarms nobody has seen: contact lost with a feeder a while ago and still, and a firmware that recovered."""
    lost = AlarmRow(
        "dropout:feeder:Bondi/BO-2", "dropout", "critical", "feeder", "Bondi/BO-2", "active",
        to_rfc3339(now_us - 240 * MICROS_PER_S), to_rfc3339(now_us), None, None, None, 17, 51, 84.0,
        ["home-0002", "home-0014", "home-0026"],
        "Contact lost with 17 of 51 sites (33%) of feeder Bondi/BO-2, against 0.4% elsewhere: 84 kW of battery power "
        "is affected.",
    )  # fmt: skip
    derated = AlarmRow(
        "derating:firmware:135x50-2", "derating", "warning", "firmware", "135x50-2", "cleared",
        to_rfc3339(now_us - 7200 * MICROS_PER_S), to_rfc3339(now_us - 1900 * MICROS_PER_S),
        to_rfc3339(now_us - 1800 * MICROS_PER_S), None, None, 61, 170, 305.0, ["home-0007"],
        "Batteries report power limits far below their nameplate at medium charge, as they do when hot or cold, at 61 "
        "of 170 battery sites (36%) of firmware 135x50-2, against 0% elsewhere: 305 kW of battery power is affected.",
    )  # fmt: skip
    return {row.id: row for row in (lost, derated)}


def _floats(values: F64) -> list[float | None]:
    return cast("list[float | None]", np.round(values, 4).tolist())


def real_clock(speed: float, start_us: int = EVENING) -> Callable[[], int]:
    """Plant time that starts at `start_us` now and runs `speed` times as fast as the wall."""
    begun = time.monotonic()
    return lambda: start_us + int((time.monotonic() - begun) * speed * MICROS_PER_S)


@cache
def rolls(index: int) -> tuple[float, ...]:
    """What chance gave a home."""
    return tuple(np.random.default_rng(index).random(12).tolist())


def place_of(value: float, *, backwards: bool) -> tuple[bool, float]:
    """What puts a value in its place, unknown ones last."""
    return (math.isnan(value), 0.0 if math.isnan(value) else -value if backwards else value)


def matches(row: m.SiteRow, query: SitesQuery, bounds: Sequence[tuple[str, float, float]]) -> bool:
    """Whether a row is what the query asks for, group by group's last name."""
    for name in ("freshness", "link", "reachable", "command"):
        if getattr(query, name) not in (None, getattr(row, name)):
            return False
    if query.group is not None and query.group.split("/")[-1] not in (row.region, row.feeder):
        return False
    if (query.search or "").lower() not in f"{row.site} {row.feeder} {row.region}".lower():
        return False
    return all(low <= getattr(row, name) <= high for name, low, high in bounds)


@dataclass(slots=True)
class FakeView:
    """A `PlantView` over the formulas; `phase` and `fail` let a test show other conditions."""

    now: Callable[[], int] = field(default_factory=lambda: real_clock(60.0))
    homes: int = 1000
    speed: float = 60.0
    simulated: bool = True
    phase: m.Phase = "running"
    fail: Exception | None = None
    enrolled: dict[str, SiteSpec] = field(default_factory=dict)
    book: dict[str, AlarmRow] = field(default_factory=dict)
    begun_us: int = 0

    def __post_init__(self) -> None:
        self.begun_us = self.now()
        self.book = book_at(self.begun_us)

    def _one(self, now: int) -> dict[str, float]:
        at = moment(np.array([float(now)]))
        names = ("target", "delivered", "up", "down", "soc", "coverage", "spot")
        return {name: float(np.round(getattr(at, name)[0], 4)) for name in names}

    def state(self) -> m.State:
        if self.fail is not None:
            raise self.fail
        now = self.now()
        start = now - now % INTERVAL_US
        at = self._one(now)
        known = self.phase == "running"
        fresh = round(at["coverage"] * self.homes)
        stale = (self.homes - fresh) * 2 // 3
        coverage = m.Coverage(fresh, stale, self.homes - fresh - stale, fresh / self.homes)
        output = m.Output(at["target"], at["delivered"], at["up"], at["down"])
        storage = m.Storage(at["soc"] * CAPACITY_MWH, CAPACITY_MWH, at["soc"])
        return m.State(
            time=to_rfc3339(now),
            utc_offset_minutes=OFFSET_MINUTES,
            speed=self.speed,
            simulated=self.simulated,
            price_source="summer day, seed 7",
            generated_prices=True,
            phase=self.phase,
            interval_start=to_rfc3339(start),
            interval_end=to_rfc3339(start + INTERVAL_US),
            sites=self.homes,
            output=output if known else m.Output(None, None, float("nan"), float("nan")),
            battery=storage if known else m.Storage(None, None, None),
            coverage=coverage if known else m.Coverage(0, 0, self.homes, 0.0),
            price=m.Price(at["spot"], max(0.0, at["spot"] / 1000 - 0.03)) if known else m.Price(None, None),
            bid=self._bid(start) if known else None,
            account=self._account(now),
            alarms=AlarmCounts(critical=1, unacknowledged=sum(row.acknowledged is None for row in self.book.values())),
            ring=m.Ring(
                3000.0 * self.speed / 60,
                4.2,
                31.0,
                48_210 + (now - self.begun_us) // MICROS_PER_S,
                "2026-01-20T08:00:00.000Z",
            ),
        )

    def _bid(self, start: int) -> m.Bid:
        bands = [m.Band(price, 5.6 * share) for price, share in zip(PRICES, SHARES, strict=True)]
        return m.Bid(to_rfc3339(start), bands, -2.1, self._one(start)["target"])

    def _account(self, now: int) -> m.Account:
        if self.phase != "running":
            return m.Account(0, None, None, None, None, None, None)
        rows = self.accounts(200)
        total = {name: sum(getattr(row, name) for row in rows) for name in m.Account.__struct_fields__[1:7]}
        return m.Account(intervals=len(rows), **total)

    def history(self, minutes: float) -> m.History:
        end = self.now()
        if self.phase != "running":
            return m.History([], [], [], [], [], [], [], [])
        times = np.linspace(end - minutes * 60e6, end, 721).astype(np.int64)
        at = moment(times.astype(np.float64))
        spans = (at.target, at.delivered, at.up, at.down, at.soc, at.coverage, at.spot)
        return m.History(cast("list[int]", times.tolist()), *(_floats(values) for values in spans))

    def _row(self, index: int, now: int) -> m.SiteRow:
        roll = iter(rolls(index)).__next__
        region = index % 3
        seen = roll()
        freshness: m.FreshnessName = "fresh" if seen > 0.016 else "stale" if seen > 0.005 else "silent"
        swing = float(np.sin(now / MICROS_PER_S / 60 + index))
        solar = -max(0.0, 1.8 * roll() + 0.2 * swing) if roll() < 0.7 else 0.0
        load, battery = 0.6 + 1.4 * roll() + 0.15 * swing, -3.2 * roll() + 0.3 * swing
        nan = float("nan")
        silent = freshness == "silent"
        command: m.CommandName = "expired" if silent else OUTCOMES[index % len(OUTCOMES)]
        desired = load + solar - 3.2 * roll()
        applied = desired if command == "applied" else nan if index % 3 else desired + 0.5
        return m.SiteRow(
            site=f"home-{index:04d}",
            feeder=f"{REGIONS[region][:2].upper()}-{index % 4 + 1}",
            region=REGIONS[region],
            freshness=freshness,
            link="down" if silent else "up",
            reachable=not silent,
            command=command,
            age_s=nan if silent else 2.0 + 9 * roll() if freshness == "fresh" else 240.0,
            power_kw=nan if silent else load + solar + battery,
            battery_kw=nan if silent else battery,
            solar_kw=nan if silent else solar,
            load_kw=nan if silent else load,
            soc_ratio=nan if silent else 0.25 + 0.7 * roll(),
            up_kw=nan if silent else 5.0 + battery,
            down_kw=nan if silent else 5.0 - battery,
            desired_kw=nan if silent else desired,
            applied_kw=applied,
            deviation_kw=nan if silent else abs(load + solar + battery - applied),
            unapplied_kw=nan if silent else abs(desired - applied),
        )

    def sites(self, query: SitesQuery) -> m.SitePage:
        now, bounds = self.now(), list(query.bounds())
        rows = [row for index in range(self.homes) if matches(row := self._row(index, now), query, bounds)]
        column, backwards = query.sort.removeprefix("-"), query.sort.startswith("-")
        rows.sort(key=lambda row: row.site, reverse=query.sort == "-site")
        if column != "site":
            rows.sort(key=lambda row: place_of(getattr(row, column), backwards=backwards))
        start = 0
        if query.page_token is not None:
            last = page_start(query.sort, query.page_token).site
            start = next(i for i, row in enumerate(rows) if row.site == last) + 1
        page = rows[start : start + query.limit]
        more = None
        if start + query.limit < len(rows):
            value = 0.0 if column == "site" else getattr(page[-1], column)
            more = page_token(query.sort, LastRow(value, page[-1].site))
        return m.SitePage(page, len(rows), more)

    def site(self, site: str) -> m.SiteDetail:
        now = self.now()
        row = next((self._row(index, now) for index in range(self.homes) if site == f"home-{index:04d}"), None)
        if row is None:
            message = f"no site is called {site!r}"
            raise NotFound(message)
        price = self._one(now)["spot"] / 1000
        why = [
            f"Your battery gives power because a kWh is worth A${price:.2f} to the grid now; later it saves A$0.31.",
            "At least 20% stays in the battery for a power cut: that is your reserve.",
            "You are paid A$0.14 for this interval, so your bill is no higher than without Powerflock.",
        ]
        soc = row.soc_ratio or float("nan")
        expires = to_rfc3339(now - now % INTERVAL_US + INTERVAL_US)
        told = to_rfc3339(now - now % INTERVAL_US)
        devices = [
            m.DeviceRow(name, name, row.freshness, to_rfc3339(now - 2 * MICROS_PER_S), power, energy)
            for name, power, energy in (
                ("battery", row.battery_kw, soc * 11.6),
                ("solar", row.solar_kw, 5120.5),
                ("meter", row.power_kw, 2210.0),
            )
        ]
        return m.SiteDetail(
            row,
            soc * 11.6,
            11.6,
            0.2,
            "Time of use",
            0.52,
            0.05,
            row.desired_kw,
            price,
            expires,
            m.SiteTimes(told, expires, told, to_rfc3339(now - 2 * MICROS_PER_S)),
            devices,
            why,
        )

    def groups(self) -> Sequence[g.GroupRow]:
        at, rows = self._one(self.now()), []
        tree: list[tuple[str, str | None, g.LevelName, float]] = [("portfolio", None, "portfolio", 1.0)]
        for region, share in zip(REGIONS, (0.42, 0.36, 0.22), strict=True):
            tree.append((region, "portfolio", "region", share))
            tree += [
                (f"{region}/{region[:2].upper()}-{k}", region, "feeder", share * (0.19 + 0.04 * k)) for k in (1, 2, 3)
            ]
        tree.append(("set:trial", None, "set", 0.1))
        for name, parent, level, share in tree:
            sites = round(self.homes * share)
            fresh = round(sites * at["coverage"])
            coverage = m.Coverage(fresh, sites - fresh, 0, fresh / sites)
            rows.append(
                g.GroupRow(
                    group=name,
                    parent=parent,
                    level=level,
                    depth={"region": 1, "feeder": 2}.get(level, 0),
                    sites=sites,
                    unreachable=sites - fresh,
                    power_kw=-1000 * share * at["delivered"],
                    std_kw=22.0 * share,
                    stored_kwh=1000 * share * at["soc"] * CAPACITY_MWH,
                    capacity_kwh=1000 * share * CAPACITY_MWH,
                    up_kw=1000 * share * at["up"],
                    down_kw=1000 * share * at["down"],
                    up_h=1.8,
                    down_h=2.6,
                    firm_up_kw=740 * share * at["up"],
                    firm_down_kw=740 * share * at["down"],
                    worst_failure="provider:northnet",
                    raise_kw=1100 * share * at["up"],
                    lower_kw=1100 * share * at["down"],
                    coverage=coverage,
                    coverage_kw_ratio=fresh / sites,
                )
            )
        return rows

    def group(self, group: str) -> g.GroupDetail:
        row = next((row for row in self.groups() if row.group == group), None)
        if row is None:
            message = f"no group is called {group!r}"
            raise NotFound(message)
        coverage = g.CoverageKw(5.0 * row.coverage.fresh, 5.0 * row.coverage.stale, 0.0, 0.0, row.coverage.ratio)
        return g.GroupDetail(row, coverage, unreachable=0, power_known=row.sites)

    def alarms(self) -> Sequence[AlarmRow]:
        return list(self.book.values())

    def acknowledge(self, alarm: str, by: str) -> AlarmRow:
        if alarm not in self.book:
            message = f"alarm {alarm!r} is not in the book"
            raise NotFound(message)
        seen = msgspec.structs.replace(self.book[alarm], acknowledged=to_rfc3339(self.now()), acknowledged_by=by)
        rest = {key: row for key, row in self.book.items() if key != alarm}
        self.book = {alarm: seen, **rest} if seen.state == "active" else rest
        return seen

    def bids(self, limit: int) -> Sequence[m.BidRow]:
        start = self.now() // INTERVAL_US * INTERVAL_US
        return [self._bid_row(start - back * INTERVAL_US) for back in range(limit)]

    def _bid_row(self, start: int) -> m.BidRow:
        bid, spot = self._bid(start), self._one(start)["spot"]
        return m.BidRow(bid.interval_start, to_rfc3339(start + INTERVAL_US), bid.bands, bid.base_mw, bid.award_mw, spot)

    def accounts(self, limit: int) -> Sequence[m.AccountRow]:
        if self.phase != "running":
            return []
        start = self.now() // INTERVAL_US * INTERVAL_US
        return [self._account_row(start - (back + 1) * INTERVAL_US) for back in range(limit)]

    def _account_row(self, start: int) -> m.AccountRow:
        at = self._one(start + 200 * MICROS_PER_S)
        awarded, delivered = at["target"] / 12, at["delivered"] / 12
        revenue, owners = delivered * at["spot"], abs(delivered) * 31
        earned = abs(delivered) * abs(at["spot"] - 90) * 0.6
        return m.AccountRow(
            to_rfc3339(start),
            to_rfc3339(start + INTERVAL_US),
            awarded,
            delivered,
            at["spot"],
            revenue,
            earned,
            owners,
            earned - owners,
            0.988,
            0,
        )

    def enrol(self, specs: Sequence[SiteSpec]) -> m.EnrolResult:
        tokens, reasons = {}, {}
        for spec in specs:
            try:
                check_spec(spec)
            except InvalidInput as error:
                reasons[spec.site] = str(error)
                continue
            if self.enrolled.setdefault(spec.site, spec) != spec:
                reasons[spec.site] = "is enrolled with another specification"
                continue
            tokens[spec.site] = f"token-of-{spec.site}"
        return m.EnrolResult(tokens, Outcome.of(len(tokens), reasons))

    def health(self) -> m.Health:
        ready = self.phase == "running"
        return m.Health(live=True, ready=ready, checks={} if ready else {"twins": self.phase})

    def metrics(self) -> str:
        return f"# TYPE powerflock_sites gauge\npowerflock_sites {self.homes}\n"
