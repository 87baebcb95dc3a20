"""The book of alarms: what operators see, acknowledge and lose sight of only when it is over."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.alarms import AlarmBook, acknowledge
from powerflock.alarms.causes import PORTFOLIO
from powerflock.alarms.memory import Rule
from powerflock.alarms.model import Alarm, update
from powerflock.alarms.scan import Cluster
from powerflock.alarms.sentences import alarm_of
from powerflock.domain.errors import InvalidInput, NotFound

CLEAR_US, KEEP_US = 60, 1_000


def finding(now_us: int, region: str = "west", sites: int = 75_012) -> Alarm:
    cluster = Cluster(3, sites, 250_040, 0.0098, np.ones(1, np.bool_))
    return alarm_of(Rule.DROPOUT, ("region", region), cluster, 375_060.0, now_us, scattered=False)


def raised_at(now_us: int) -> AlarmBook:
    return update(AlarmBook(), [finding(now_us)], now_us, CLEAR_US, KEEP_US).book


def test_an_alarm_says_in_words_what_is_wrong_and_how_much_of_it() -> None:
    assert finding(0).sentence == (
        "Contact lost with 75,012 of 250,040 sites (30%) of region west, against 0.98% elsewhere: "
        "375.1 MW of battery power is affected."
    )
    cluster = Cluster(PORTFOLIO, 3, 1_000, np.nan, np.ones(1, np.bool_))
    assert alarm_of(Rule.FADE, ("portfolio", ""), cluster, 15.0, 0, scattered=True).sentence == (
        "Batteries hold far less than their nameplate says at 3 of 1,000 battery sites (0.3%) in the portfolio, "
        "with no group in common: 15 kW of battery power is affected."
    )


def test_what_stays_true_is_raised_once_and_its_numbers_follow() -> None:
    change = update(raised_at(0), [finding(10, sites=80_000)], 10, CLEAR_US, KEEP_US)
    (alarm,) = change.book.active
    assert (change.raised, change.cleared) == ((), ())
    assert (alarm.since_us, alarm.seen_us, alarm.sites) == (0, 10, 80_000)


def test_an_alarm_clears_only_when_it_has_not_been_true_for_a_while() -> None:
    assert update(raised_at(0), [], CLEAR_US - 1, CLEAR_US, KEEP_US).cleared == ()
    change = update(raised_at(0), [], CLEAR_US, CLEAR_US, KEEP_US)
    assert [alarm.cleared_us for alarm in change.cleared] == [CLEAR_US]
    assert [alarm.state for alarm in change.book.by_id.values()] == ["cleared"]


def test_a_cleared_alarm_stays_until_somebody_has_seen_it() -> None:
    book = update(raised_at(0), [], 100, CLEAR_US, KEEP_US).book
    assert update(book, [], 100 + KEEP_US - 1, CLEAR_US, KEEP_US).book.by_id
    assert not update(book, [], 100 + KEEP_US, CLEAR_US, KEEP_US).book.by_id
    assert not acknowledge(book, "dropout:region:west", "ana", 200).by_id


def test_an_acknowledged_alarm_stays_while_it_is_true_and_goes_when_it_clears() -> None:
    book = acknowledge(raised_at(0), "dropout:region:west", "ana", 5)
    book = acknowledge(book, "dropout:region:west", "ben", 6)
    book = update(book, [finding(10)], 10, CLEAR_US, KEEP_US).book
    (alarm,) = book.active
    assert (alarm.acknowledged_us, alarm.acknowledged_by) == (5, "ana")
    change = update(book, [], 100, CLEAR_US, KEEP_US)
    assert len(change.cleared) == 1
    assert not change.book.by_id


def test_what_comes_back_after_it_cleared_is_raised_again() -> None:
    book = update(raised_at(0), [], 100, CLEAR_US, KEEP_US).book
    change = update(book, [finding(200)], 200, CLEAR_US, KEEP_US)
    assert [(alarm.since_us, alarm.state) for alarm in change.raised] == [(200, "active")]
    assert len(change.book.by_id) == 1


def test_an_alarm_explained_by_a_wider_one_clears_at_once() -> None:
    change = update(raised_at(0), [finding(1, "all")], 1, CLEAR_US, KEEP_US, {"dropout:region:west"})
    assert [alarm.id for alarm in change.cleared] == ["dropout:region:west"]


def test_only_alarms_in_the_book_can_be_acknowledged_and_only_by_somebody() -> None:
    with pytest.raises(NotFound, match="dropout:region:east"):
        acknowledge(raised_at(0), "dropout:region:east", "ana", 1)
    with pytest.raises(InvalidInput, match="operator"):
        acknowledge(raised_at(0), "dropout:region:west", "", 1)


def test_the_gravest_active_alarm_is_read_first() -> None:
    cluster = Cluster(PORTFOLIO, 3, 1_000, np.nan, np.ones(1, np.bool_))
    notice = alarm_of(Rule.FADE, ("portfolio", ""), cluster, 15.0, 0, scattered=True)
    book = update(raised_at(0), [], 100, CLEAR_US, KEEP_US).book
    book = update(book, [notice, finding(100, "east")], 100, CLEAR_US, KEEP_US).book
    alarms = book.in_order()
    assert [alarm.id for alarm in alarms] == ["dropout:region:east", "fade:portfolio", "dropout:region:west"]
    assert alarms[0].severity == "critical"
