"""What an operator sets of alarms is what the plant goes by, in the wall's time however fast its clock runs."""

from __future__ import annotations

from powerflock.alarms import AlarmSettings
from powerflock.compose.parts import alarm_settings
from powerflock.settings import load


def test_the_defaults_in_real_time_are_the_rules_own() -> None:
    assert alarm_settings(load().settings) == AlarmSettings()


def test_contact_is_judged_by_the_wall_and_responses_are_awaited_for_some_turns() -> None:
    settings = load(overrides={"alarms.settle_s": 10.0, "alarms.least_sites": 7, "plant.tick_s": 2.0}).settings
    fast = alarm_settings(settings, speed=60.0)
    assert fast.settle_us == 600_000_000
    assert fast.usual_us == 60 * AlarmSettings().usual_us
    assert fast.keep_us == AlarmSettings().keep_us, "a week of the plant's own time"
    assert fast.scan.least_sites == 7
    assert fast.respond_us == 3 * 2 * 60_000_000
    assert fast.drift_kwh == 60 * AlarmSettings().drift_kwh
