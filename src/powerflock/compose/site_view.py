"""One site for people: its numbers now, and why its battery does what it does, in its owner's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from powerflock.api import models
from powerflock.autobidder.records import known
from powerflock.compose.directory import Directory
from powerflock.compose.site_list import SiteList
from powerflock.compose.source import Ring
from powerflock.domain.clock import MICROS_PER_HOUR, to_rfc3339
from powerflock.domain.columns import DeviceKind, Issuer
from powerflock.domain.errors import NotFound
from powerflock.domain.site import SiteSpec
from powerflock.optimise.respond import best_cost, value
from powerflock.plant.shard import SiteShard
from powerflock.twins.commanded import Commanded
from powerflock.twins.estimate import SiteColumns, device_freshness

_IDLE_KW = 0.05
_PAID = ("paid", "topped_up", "shared")


class Place(NamedTuple):
    """Where a site's columns are."""

    site: str
    partition: int
    row: int


class Sites(Ring, Protocol):
    """What is known of sites beside a moment's columns: the ring, or a process that owns some of its partitions."""

    @property
    def shards(self) -> Sequence[SiteShard]:
        """Every partition's own columns; without sites where it is not owned."""


class Moment(Protocol):
    """What the sites did at one time, by partition: a turn, or as much of one."""

    @property
    def now_us(self) -> int:
        """The time."""

    @property
    def interval(self) -> int:
        """The market interval."""

    @property
    def columns(self) -> tuple[SiteColumns, ...]:
        """What they do."""

    @property
    def commanded(self) -> tuple[Commanded, ...]:
        """What they were told."""


class SiteView:
    """The sites of one turn."""

    def __init__(self, ring: Sites, turn: Moment, directory: Directory) -> None:
        """Columns of `turn`; sites enrolled since are not in it yet."""
        self._ring, self.turn = ring, turn
        listed = [directory.of(part, columns.table) for part, columns in enumerate(turn.columns)]
        self.list = SiteList(ring.hierarchy, turn.now_us, turn.columns, turn.commanded, listed)

    def detail(self, site: str) -> models.SiteDetail:
        """One site whole, or `NotFound`."""
        address = self._ring.registry.resolve(site)
        if address is None or address.row >= self.turn.columns[address.partition].freshness.size:
            msg = f"site {site!r} is not enrolled"
            raise NotFound(msg)
        place = Place(site, address.partition, address.row)
        spec, shard = self._ring.registry.spec(site), self._ring.shards[place.partition]
        columns, row = self.turn.columns[place.partition], place.row
        buy, sell = shard.terms.site_prices(self.turn.now_us)
        told = known(float(shard.book.setpoint_kw[row]))
        return models.SiteDetail(
            self.list.rows(place.partition, np.array([place.row], np.int64))[0],
            known(float(columns.stored_kwh[row])) if spec.storage else None,
            spec.storage.capacity_kwh if spec.storage else None,
            spec.storage.reserve_ratio if spec.storage else None,
            spec.tariff.name,
            float(buy[row]),
            float(sell[row]),
            told,
            float(shard.price_per_kwh[row]) if told is not None else None,
            to_rfc3339(int(shard.book.expires_us[row])) if told is not None else None,
            self._times(place),
            self._devices(place.partition, address.devices),
            self._why(spec, place),
        )

    def _times(self, place: Place) -> models.SiteTimes:
        told, row = self.turn.commanded[place.partition], place.row
        times = told.desired_us, told.expires_us, told.answered_us, told.metered_us
        return models.SiteTimes(*(_time(int(column[row])) for column in times))

    def _devices(self, partition: int, devices: Mapping[str, int]) -> list[models.DeviceRow]:
        """Each device as the twins have it now, which may be newer than the turn."""
        twins, numbers = self._ring.shards[partition].twins, np.array(list(devices.values()), np.int64)
        states = device_freshness(twins, self.turn.now_us, self._ring.settings.estimate, numbers).tolist()
        rows = twins.devices[numbers]
        return [
            models.DeviceRow(
                name,
                DeviceKind(twins.table.device_kind[number]).wire,
                models.FRESHNESS_NAMES[state],
                _time(int(row["time_us"])),
                known(float(row["power_kw"])),
                known(float(row["energy_kwh"])),
            )
            for (name, number), state, row in zip(devices.items(), states, rows, strict=True)
        ]

    def _why(self, spec: SiteSpec, place: Place) -> list[str]:
        shard, columns, row = self._ring.shards[place.partition], self.turn.columns[place.partition], place.row
        if not columns.reachable[row]:
            return ["We have not heard from this home lately. Its numbers are estimates, and it gets no commands."]
        if spec.storage is None:
            return ["This home has no battery, so there is nothing to decide: its meter counts in the forecast only."]
        reserve = spec.storage.reserve_ratio * spec.storage.capacity_kwh
        share = f"{reserve:.1f} kWh ({spec.storage.reserve_ratio:.0%})"
        why = [f"{share} stay in the battery as your backup, whatever the market does."]
        if columns.freshness.size != shard.sites:
            return [*why, "Other homes are joining at this moment; ask again in a second."]
        step = shard.plan.step(self.turn.interval) if shard.plan is not None else -1
        if shard.plan is None or step < 0:
            return [*why, "Your plan is being made; until then your battery covers your own use."]
        if row in shard.plan.errors:
            return [*why, f"No plan could be made, so your battery covers your own use: {shard.plan.errors[row]}"]
        hours = self._ring.settings.interval_us / MICROS_PER_HOUR
        moment = shard.moment(self.turn.now_us, hours, columns.net_load_kw, columns.stored_kwh)
        alone = float(best_cost(moment, shard.plan.alone, step)[0][row])
        worth = self._worth(place, step)
        now = float(columns.battery_kw[row])
        why.append(f"On your tariff alone your battery would {_does(alone)} now; it does this: {_does(now)}.")
        why.append(f"One more kWh in it would save you {worth:.2f} A$ over the next day, by our forecast.")
        price = float(shard.price_per_kwh[row])
        if shard.issuer[row] != Issuer.MARKET:
            why.append(f"Your connection's limit decides here, not the market ({Issuer(shard.issuer[row]).wire}).")
        elif abs(price) < 1e-9:
            why.append("The market asks nothing of the fleet at this moment.")
        else:
            meaning = "is short of energy, so giving pays" if price > 0 else "has too much energy, so taking pays"
            why.append(f"The fleet's price is {price:+.3f} A$/kWh: the market {meaning}.")
        why.append(
            f"So far you have been paid {sum(float(shard.accounts[name][row]) for name in _PAID):.2f} A$: "
            "all that following the market cost you, and your share of the gain at each day's end."
        )
        return why

    def _worth(self, place: Place, step: int) -> float:
        """What one more kWh stored would save the owner alone, $."""
        shard, columns = self._ring.shards[place.partition], self.turn.columns[place.partition]
        assert shard.plan is not None
        stored = np.nan_to_num(columns.stored_kwh)
        less = value(shard.plan.alone, step, stored)
        more = value(shard.plan.alone, step, np.minimum(stored + 1.0, np.maximum(columns.capacity_kwh, stored)))
        return float((less - more)[place.row])


def _time(time_us: int) -> str | None:
    return to_rfc3339(time_us) if time_us > 0 else None


def _does(battery_kw: float) -> str:
    if abs(battery_kw) < _IDLE_KW:
        return "rest"
    return f"charge at {battery_kw:.1f} kW" if battery_kw > 0 else f"discharge at {-battery_kw:.1f} kW"
