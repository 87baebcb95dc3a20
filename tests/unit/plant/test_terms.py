"""Owners' terms arrive where the optimiser reads them: local half-hours at their UTC time, nameplates with limits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec, Tariff
from powerflock.plant.terms import Terms, batteries
from tests.unit.plant.small import BATTERY, homes

BY_SLOT = Tariff("by slot", tuple(float(slot) for slot in range(1, 49)), tuple(slot / 100 for slot in range(48)))


def site(offset_minutes: int, tariff: Tariff = BY_SLOT) -> SiteSpec:
    return SiteSpec("a", "f", "r", tariff, BATTERY, utc_offset_minutes=offset_minutes)


@pytest.mark.parametrize(
    ("offset_minutes", "local_hour_at_utc_noon"), [(0, 12.0), (600, 22.0), (570, 21.5), (-300, 7.0)]
)
def test_a_local_price_holds_at_its_local_time(offset_minutes: int, local_hour_at_utc_noon: float) -> None:
    terms = Terms.of([site(offset_minutes)])
    buy, sell = terms.prices(np.array([12 * MICROS_PER_HOUR, 12 * MICROS_PER_HOUR + 1], np.int64))
    slot = int(local_hour_at_utc_noon * 2)
    assert (buy[0] == slot + 1.0).all()
    assert sell[0, 0] == slot / 100
    assert terms.site_prices(12 * MICROS_PER_HOUR)[0].tolist() == [slot + 1.0]


def test_homes_on_the_same_tariff_and_clock_share_a_row() -> None:
    other = msgspec.structs.replace(BY_SLOT, name="other")
    copy = Tariff(BY_SLOT.name, BY_SLOT.import_per_kwh, BY_SLOT.export_per_kwh)
    terms = Terms.of([site(600), site(600, other), site(600, copy), site(0)])
    assert terms.tariff.tolist() == [0, 1, 0, 2]
    assert terms.import_per_kwh.shape == (3, 48)


def test_no_sites_have_no_terms() -> None:
    assert Terms.of([]).import_per_kwh.shape == (0, 48)


def test_limits_give_way_to_what_the_house_alone_already_breaks_and_to_no_more() -> None:
    registry = Registry.empty(1)
    specs = [msgspec.structs.replace(spec, import_limit_kw=6.0, export_limit_kw=5.0) for spec in homes(2)]
    registry.enrol(0, specs)
    cells = batteries(registry.table(0), np.zeros(2), np.array([[1.0, 7.5], [-8.0, 2.0]]))
    assert cells.import_limit_kw.tolist() == [7.5, 6.0]
    assert cells.export_limit_kw.tolist() == [5.0, 8.0]
    assert cells.floor_kwh.tolist() == [1.0, 1.0]
