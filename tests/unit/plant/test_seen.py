"""What sites do is the same for whoever lists them elsewhere, and unknown where it is not known."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import Registry
from powerflock.plant.member import Member
from powerflock.plant.outlook import BaselineOutlook
from powerflock.plant.planner import PlanNow
from powerflock.plant.seen import columns_of, decode, seen
from powerflock.twins.commanded import commanded
from powerflock.twins.estimate import Freshness
from tests.unit.plant.small import SETTINGS, START_US, Meters, homes

SPECS = homes(4)


def member_of(count: int) -> Member:
    registry = Registry.empty(1)
    registry.enrol(0, SPECS[:count])
    member = Member(0, registry, SETTINGS, BaselineOutlook(1), PlanNow(), epoch=7)
    member.enrolled(0)
    member.regroup()
    member.ingest(Meters(SPECS[:count]).read(START_US), START_US)
    member._observe(START_US)
    return member


def test_numbers_links_and_commands_arrive_as_they_were() -> None:
    member = member_of(4)
    found = decode(seen(member, START_US))
    assert (found.partition, found.epoch, found.now_us) == (0, 7, START_US)
    columns, shard = columns_of(found, member.registry.table(0))
    for name in ("meter_kw", "battery_kw", "stored_kwh", "age_us", "solar_kw"):
        np.testing.assert_allclose(getattr(columns, name), getattr(member.columns, name), rtol=1e-6)
    assert columns.freshness.tolist() == member.columns.freshness.tolist() == [Freshness.FRESH] * 4
    assert columns.reachable.tolist() == member.columns.reachable.tolist()
    there, here = (commanded(twins, START_US, 1) for twins in (member.shard.twins, shard))
    assert here.metered_us.tolist() == there.metered_us.tolist() == [START_US] * 4
    assert shard.sites.tobytes() == member.shard.twins.sites.tobytes()


@pytest.mark.parametrize("there", [0, 3])
def test_sites_that_the_other_did_not_know_yet_are_not_heard_of(there: int) -> None:
    known, table = decode(seen(member_of(there), START_US)), member_of(4).registry.table(0)
    columns, _ = columns_of(known, table)
    assert columns.freshness[there:].tolist() == [Freshness.SILENT] * (4 - there)
    assert np.isnan(columns.meter_kw[there:]).all()
    assert not columns.reachable[there:].any()


def test_sites_that_we_do_not_know_yet_are_left_out() -> None:
    columns, _ = columns_of(decode(seen(member_of(4), START_US)), member_of(2).registry.table(0))
    assert columns.freshness.size == 2
    assert np.isfinite(columns.meter_kw).all()


def test_nothing_seen_is_all_unknown() -> None:
    columns, _ = columns_of(None, member_of(2).registry.table(0))
    assert np.isnan(columns.meter_kw).all()
    assert columns.freshness.tolist() == [Freshness.SILENT] * 2


def test_bytes_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match="must be one of this version"):
        decode(b"\x80")
