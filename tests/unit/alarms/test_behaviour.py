"""Sites that answer wrongly, drift, derate or fade: one alarm for what they share, one summary for the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from powerflock.domain.arrays import F64, Bools
from powerflock.domain.registry import SiteTable
from powerflock.twins.estimate import SiteColumns
from tests.unit.alarms.fleet import Watcher, ids, members, network, seen, told

SITES = 4_000
TABLE = network(SITES, 1)
NOBODY: Bools = np.zeros(SITES, np.bool_)
FIRMWARE = members(TABLE, firmware="2.0")
SCATTERED = np.arange(SITES) % 400 == 7


def command(watcher: Watcher, seq: int, setpoint_kw: float, meter_kw: F64, **columns: F64) -> None:
    """A command is confirmed, and a minute later the meters show this."""
    sites = told(SITES, setpoint_kw, seq)
    for _ in range(6):
        watcher.see(seen(TABLE, meter_kw=meter_kw, **columns), sites, after_s=10.0)


def obey(watcher: Watcher, wrong: Bools, times: int, **columns: F64) -> None:
    """Setpoints of −3 and 2 kW in turn; the meters of the `wrong` sites go the other way round."""
    for _ in range(2):
        watcher.see(seen(TABLE, meter_kw=np.zeros(SITES), **columns), after_s=10.0)
    for seq in range(times):
        setpoint = 2.0 if seq % 2 else -3.0
        command(watcher, seq, setpoint, np.where(wrong, -setpoint, setpoint), **columns)


def test_a_firmware_that_inverts_commands_is_one_alarm() -> None:
    watcher = Watcher()
    obey(watcher, FIRMWARE, 4)
    (alarm,) = watcher.active
    assert (alarm.id, alarm.severity) == ("wrong_sign:firmware:2.0", "critical")
    assert (alarm.sites, alarm.of_sites) == (FIRMWARE.sum(), FIRMWARE.sum())
    assert all(FIRMWARE[example.row] for example in alarm.examples)


def test_inverted_meters_here_and_there_are_one_summary() -> None:
    watcher = Watcher()
    obey(watcher, SCATTERED, 4)
    (alarm,) = watcher.active
    assert (alarm.id, alarm.severity, alarm.sites) == ("wrong_sign:portfolio", "notice", SCATTERED.sum())
    assert "no group in common" in alarm.sentence


def test_one_wrong_answer_is_not_enough() -> None:
    watcher = Watcher()
    obey(watcher, FIRMWARE, 2)
    assert not [alarm for alarm in watcher.active if alarm.rule == "wrong_sign"]


def test_a_battery_that_is_empty_is_not_blamed_for_not_answering() -> None:
    watcher = Watcher()
    watcher.see(seen(TABLE), after_s=10.0)
    for seq in range(8):
        watcher.see(seen(TABLE), told(SITES, np.nan), after_s=10.0)
        command(watcher, seq, -3.0, np.ones(SITES), stored_kwh=np.full(SITES, 1.2))
    assert watcher.active == ()


def test_a_site_that_answers_rightly_again_is_forgiven() -> None:
    watcher = Watcher()
    obey(watcher, FIRMWARE, 4)
    obey(watcher, NOBODY, 4)
    assert ids(watcher.active) == []


def test_a_firmware_that_stays_off_its_setpoint_is_one_alarm_of_drift() -> None:
    watcher = Watcher()
    sites = told(SITES, -2.0)
    meter = np.where(FIRMWARE, -0.5, -2.0)
    raised = [ids(watcher.see(seen(TABLE, meter_kw=meter), sites, after_s=10.0).raised) for _ in range(360)]
    assert [names for names in raised if names] == [["drift:firmware:2.0"]]


def test_the_further_off_the_sooner_it_is_told() -> None:
    def minutes(off_kw: float) -> float:
        watcher, looks = Watcher(), 0
        while not watcher.active and looks < 1_000:
            watcher.see(seen(TABLE, meter_kw=np.where(FIRMWARE, off_kw, 0.0)), told(SITES, 0.0), after_s=10.0)
            looks += 1
        return looks / 6.0

    assert minutes(4.5) == pytest.approx(0.2 / 4.0 * 60, abs=0.5)
    assert minutes(1.0) == pytest.approx(0.2 / 0.5 * 60, abs=0.5)
    assert minutes(0.5) > 160


def test_a_load_that_comes_and_goes_is_no_drift() -> None:
    watcher, rng = Watcher(), np.random.default_rng(3)
    for _ in range(500):
        watcher.see(seen(TABLE, meter_kw=rng.normal(0.0, 0.4, SITES)), told(SITES, 0.0), after_s=10.0)
    assert watcher.active == ()


@pytest.mark.parametrize(
    "columns",
    [
        {"stored_kwh": np.full(SITES, 1.1)},
        {"battery_kw": np.full(SITES, -5.0)},
        {"battery_kw": np.full(SITES, -2.0), "discharge_limit_kw": np.full(SITES, 2.0)},
        {"freshness": np.ones(SITES, np.uint8)},
    ],
    ids=["empty", "at its power", "limited", "stale"],
)
def test_who_cannot_do_more_does_not_drift(columns: dict[str, F64]) -> None:
    watcher = Watcher()
    watcher.see(seen(TABLE), told(SITES, 0.0))
    for _ in range(100):
        watcher.see(seen(TABLE, meter_kw=np.full(SITES, 3.0), **columns), told(SITES, 0.0), after_s=10.0)
    assert not [alarm for alarm in watcher.active if alarm.rule == "drift"]


def test_drift_ends_when_the_meters_are_back_on_the_setpoint() -> None:
    watcher, sites = Watcher(), told(SITES, 0.0)
    for meter in (3.0, 0.0):
        for _ in range(300):
            watcher.see(seen(TABLE, meter_kw=np.where(FIRMWARE, meter, 0.0)), sites, after_s=10.0)
        assert ids(watcher.active) == (["drift:firmware:2.0"] if meter else [])


def hot(table: SiteTable, affected: Bools) -> SiteColumns:
    return seen(table, charge_limit_kw=np.where(affected, 1.5, 5.0))


def faded(table: SiteTable, affected: Bools) -> SiteColumns:
    return seen(table, capacity_kwh=np.where(affected, 6.5, 9.9))


@pytest.mark.parametrize(("state", "rule"), [(hot, "derating"), (faded, "fade")])
@pytest.mark.parametrize(
    ("affected", "named", "severity"),
    [
        (members(TABLE, region="west"), "region:west", "warning"),
        (FIRMWARE, "firmware:2.0", "warning"),
        (SCATTERED, "portfolio", "notice"),
        (~NOBODY, "portfolio", "warning"),
    ],
    ids=["region", "firmware", "scattered", "everyone"],
)
def test_batteries_in_trouble_are_one_alarm(
    state: Callable[[SiteTable, Bools], SiteColumns], rule: str, affected: Bools, named: str, severity: str
) -> None:
    watcher = Watcher()
    for _ in range(40):
        watcher.see(state(TABLE, affected), after_s=10.0)
    (alarm,) = watcher.active
    assert (alarm.id, alarm.severity, alarm.sites) == (f"{rule}:{named}", severity, affected.sum())
    for _ in range(20):
        watcher.see(state(TABLE, NOBODY), after_s=10.0)
    assert watcher.active == ()


def test_a_full_or_empty_battery_may_limit_itself() -> None:
    watcher = Watcher()
    for stored, charge, discharge in ((9.5, 0.5, 5.0), (1.0, 5.0, 0.5)):
        columns = seen(
            TABLE,
            stored_kwh=np.full(SITES, stored),
            charge_limit_kw=np.full(SITES, charge),
            discharge_limit_kw=np.full(SITES, discharge),
        )
        for _ in range(100):
            watcher.see(columns, after_s=10.0)
    assert watcher.active == ()


def test_capacity_lost_since_yesterday_is_told_even_above_the_warranty() -> None:
    watcher = Watcher()
    watcher.see(seen(TABLE))
    for _ in range(4):
        watcher.see(seen(TABLE), after_s=6 * 3_600.0)
    for _ in range(4):
        watcher.see(seen(TABLE, capacity_kwh=np.where(FIRMWARE, 8.5, 10.0)), after_s=600.0)
    (alarm,) = watcher.active
    assert (alarm.id, alarm.severity) == ("sudden_fade:firmware:2.0", "critical")


def test_slow_fade_above_the_warranty_is_nothing_to_tell() -> None:
    watcher = Watcher()
    for day in range(20):
        watcher.see(seen(TABLE, capacity_kwh=np.full(SITES, 10.0 - 0.1 * day)), after_s=24 * 3_600.0)
    assert watcher.active == ()


def test_a_battery_that_reports_its_capacity_only_now_and_then_is_not_taken_to_lose_it() -> None:
    watcher = Watcher()
    for look in range(200):
        watcher.see(seen(TABLE, capacity_kwh=np.full(SITES, 8.0 if look % 2 else 10.0)), after_s=300.0)
    assert watcher.active == ()


def test_every_site_has_its_turn_within_the_time_of_a_look() -> None:
    """However often the plant turns, a slice of the sites at a time is as good as all at once."""
    for after_s in (0.3, 1.0, 7.0, 30.0):
        watcher = Watcher()
        for _ in range(int(360 / after_s) + 40):
            watcher.see(hot(TABLE, ~NOBODY), after_s=after_s)
        (alarm,) = watcher.active
        assert alarm.sites == SITES
