"""Somebody who asks why their battery does what it does gets the answer in their own terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from powerflock.compose.directory import Directory
from powerflock.compose.site_view import SiteView
from powerflock.domain.clock import to_rfc3339
from powerflock.domain.errors import InvalidInput, NotFound
from tests.unit.plant.small import START_US, TICK_US, Meters, enrolled, homes


def _view(*, planned: bool = True) -> SiteView:
    specs = homes(2)
    ring, meters = enrolled(specs), Meters(specs)
    for tick in range(2):
        now = START_US + tick * TICK_US
        ring.ingest(0, meters.read(now), now)
        turn = ring.turn(now)
        meters.run(TICK_US)
    plan = ring.shards[0].plan
    assert plan is not None
    if not planned:
        ring.shards[0].plan = replace(plan, errors={0: InvalidInput("home 0: net_load_kw", "nan", "must be finite")})
    return SiteView(ring, turn, Directory(ring.registry))


def test_a_home_with_a_plan_hears_what_its_tariff_its_reserve_and_the_fleet_say() -> None:
    why = " ".join(_view().detail("h0").why)
    for words in ("stay in the battery as your backup", "On your tariff alone", "would save you", "been paid"):
        assert words in why


def test_a_home_without_a_plan_hears_what_is_wrong_and_what_its_battery_does_instead() -> None:
    view = _view(planned=False)
    why = " ".join(view.detail("h0").why)
    assert "No plan could be made, so your battery covers your own use: home 0: net_load_kw is 'nan'" in why
    assert "On your tariff alone" in " ".join(view.detail("h1").why)


def test_an_unknown_home_is_not_found() -> None:
    with pytest.raises(NotFound, match="nobody"):
        _view().detail("nobody")


def test_each_device_says_what_it_reported_and_when() -> None:
    detail = _view().detail("h0")
    assert [(device.device, device.kind, device.freshness) for device in detail.devices] == [
        ("battery", "battery", "fresh"),
        ("meter", "meter", "fresh"),
    ]
    assert {device.reported for device in detail.devices} == {detail.times.metered} == {to_rfc3339(START_US + TICK_US)}
    assert detail.devices[1].power_kw == detail.now.power_kw
    assert (detail.now.command, detail.times.desired, detail.times.applied) == ("none", None, None)
