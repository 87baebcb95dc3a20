"""One site for people: its numbers now, and why its battery does what it does, in its owner's terms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from powerflock.api import models
from powerflock.autobidder.records import known
from powerflock.domain.clock import MICROS_PER_HOUR, MICROS_PER_S, to_rfc3339
from powerflock.domain.columns import Issuer
from powerflock.domain.errors import NotFound
from powerflock.domain.site import SiteSpec
from powerflock.groups.capacity import up_down
from powerflock.optimise.respond import best_cost, value
from powerflock.plant.model import Turn
from powerflock.plant.ring import Ring
from powerflock.twins.estimate import Freshness

_IDLE_KW = 0.05
_PAID = ("paid", "topped_up", "shared")


class Place(NamedTuple):
    """Where a site's columns are."""

    site: str
    partition: int
    row: int


class SiteView:
    """The sites of one turn."""

    def __init__(self, ring: Ring, turn: Turn) -> None:
        """Columns of `turn`; sites enrolled since are not in it yet."""
        self._ring, self._turn = ring, turn
        self._up_down = [up_down(columns) for columns in turn.columns]

    def matching(self, freshness: models.FreshnessName | None, search: str | None) -> list[Place]:
        """All sites in order of id that have the `freshness` and the `search` text in id, feeder or region."""
        wanted = None if freshness is None else Freshness[freshness.upper()]
        text = (search or "").casefold()
        found = []
        for partition, columns in enumerate(self._turn.columns):
            for row, spec in enumerate(self._ring.registry.specs(partition)[: columns.freshness.size]):
                if wanted is not None and columns.freshness[row] != wanted:
                    continue
                if text and text not in f"{spec.site} {spec.feeder} {spec.region}".casefold():
                    continue
                found.append(Place(spec.site, partition, row))
        return sorted(found)

    def row(self, place: Place) -> models.SiteRow:
        """One site's numbers now."""
        spec = self._ring.registry.specs(place.partition)[place.row]
        columns, row = self._turn.columns[place.partition], place.row
        capacity = float(columns.capacity_kwh[row])
        up, down = (known(float(column[row])) for column in self._up_down[place.partition])
        return models.SiteRow(
            spec.site,
            spec.feeder,
            spec.region,
            models.FRESHNESS_NAMES[int(columns.freshness[row])],
            known(float(columns.age_us[row]) / MICROS_PER_S),
            known(float(columns.meter_kw[row])),
            known(float(columns.battery_kw[row])) if spec.storage else None,
            known(float(columns.solar_kw[row])) if spec.rated_solar_kw else None,
            known(float(columns.load_kw[row])),
            known(float(columns.stored_kwh[row]) / capacity) if capacity > 0 else None,
            up,
            down,
        )

    def detail(self, site: str) -> models.SiteDetail:
        """One site whole, or `NotFound`."""
        address = self._ring.registry.resolve(site)
        if address is None or address.row >= self._turn.columns[address.partition].freshness.size:
            msg = f"site {site!r} is not enrolled"
            raise NotFound(msg)
        place = Place(site, address.partition, address.row)
        spec, shard = self._ring.registry.spec(site), self._ring.shards[place.partition]
        columns, row = self._turn.columns[place.partition], place.row
        buy, sell = shard.terms.site_prices(self._turn.now_us)
        told = known(float(shard.book.setpoint_kw[row]))
        return models.SiteDetail(
            self.row(place),
            known(float(columns.stored_kwh[row])) if spec.storage else None,
            spec.storage.capacity_kwh if spec.storage else None,
            spec.storage.reserve_ratio if spec.storage else None,
            spec.tariff.name,
            float(buy[row]),
            float(sell[row]),
            told,
            float(shard.price_per_kwh[row]) if told is not None else None,
            to_rfc3339(int(shard.book.expires_us[row])) if told is not None else None,
            self._why(spec, place),
        )

    def _why(self, spec: SiteSpec, place: Place) -> list[str]:
        shard, columns, row = self._ring.shards[place.partition], self._turn.columns[place.partition], place.row
        if not columns.reachable[row]:
            return ["We have not heard from this home lately. Its numbers are estimates, and it gets no commands."]
        if spec.storage is None:
            return ["This home has no battery, so there is nothing to decide: its meter counts in the forecast only."]
        reserve = spec.storage.reserve_ratio * spec.storage.capacity_kwh
        share = f"{reserve:.1f} kWh ({spec.storage.reserve_ratio:.0%})"
        why = [f"{share} stay in the battery as your backup, whatever the market does."]
        if columns.freshness.size != shard.sites:
            return [*why, "Other homes are joining at this moment; ask again in a second."]
        step = shard.plan.step(self._turn.interval) if shard.plan is not None else -1
        if shard.plan is None or step < 0:
            return [*why, "Your plan is being made; until then your battery covers your own use."]
        if row in shard.plan.errors:
            return [*why, f"No plan could be made, so your battery covers your own use: {shard.plan.errors[row]}"]
        hours = self._ring.settings.interval_us / MICROS_PER_HOUR
        moment = shard.moment(self._turn.now_us, hours, columns.net_load_kw, columns.stored_kwh)
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
        shard, columns = self._ring.shards[place.partition], self._turn.columns[place.partition]
        assert shard.plan is not None
        stored = np.nan_to_num(columns.stored_kwh)
        less = value(shard.plan.alone, step, stored)
        more = value(shard.plan.alone, step, np.minimum(stored + 1.0, np.maximum(columns.capacity_kwh, stored)))
        return float((less - more)[place.row])


def _does(battery_kw: float) -> str:
    if abs(battery_kw) < _IDLE_KW:
        return "rest"
    return f"charge at {battery_kw:.1f} kW" if battery_kw > 0 else f"discharge at {-battery_kw:.1f} kW"
