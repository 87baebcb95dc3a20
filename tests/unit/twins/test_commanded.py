"""What was wanted, what an edge confirmed and what became of the last command are told apart, and in time."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.columns import SiteEventKind
from powerflock.twins.apply import desire, note, step
from powerflock.twins.columns import Link, Shard
from powerflock.twins.commanded import CommandState, commanded
from tests.unit.twins.fleet import NOW_US, batch_of, commands_of, events_of, home, reading, table_of

PATIENCE_US = 5_000_000
LATER_US, TOO_LATE_US = NOW_US + 6_000_000, NOW_US + 600_000_000


def shard() -> Shard:
    return Shard.of(table_of([home("a"), home("b")]))


@pytest.mark.parametrize(
    ("answer", "now_us", "state", "applied_kw"),
    [
        (None, NOW_US, CommandState.WAITING, np.nan),
        (None, LATER_US, CommandState.UNCONFIRMED, np.nan),
        (None, TOO_LATE_US, CommandState.EXPIRED, np.nan),
        (SiteEventKind.APPLIED, LATER_US, CommandState.APPLIED, -2.0),
        (SiteEventKind.APPLIED, TOO_LATE_US, CommandState.EXPIRED, np.nan),
        (SiteEventKind.REFUSED, LATER_US, CommandState.REFUSED, np.nan),
        (SiteEventKind.EXPIRED, LATER_US, CommandState.EXPIRED, np.nan),
    ],
)
def test_a_command_goes_from_waiting_to_its_answer_or_its_end(
    answer: SiteEventKind | None, now_us: int, state: CommandState, applied_kw: float
) -> None:
    twins = shard()
    desire(twins, commands_of((0, 7, -2.0)))
    if answer is not None:
        note(twins, events_of((0, answer, 7), time_us=NOW_US + 1))
    told = commanded(twins, now_us, PATIENCE_US)
    assert told.state.tolist() == [state, CommandState.NONE]
    np.testing.assert_array_equal(told.applied_kw, [applied_kw, np.nan])
    np.testing.assert_array_equal(told.desired_kw, [-2.0 if now_us < TOO_LATE_US else np.nan, np.nan])
    assert told.answered_us.tolist() == [0 if answer is None else NOW_US + 1, 0]


def test_the_older_command_stays_applied_until_the_newer_one_is_confirmed() -> None:
    twins = shard()
    desire(twins, commands_of((0, 7, -2.0)))
    note(twins, events_of((0, SiteEventKind.APPLIED, 7)))
    desire(twins, commands_of((0, 8, -3.0)))
    told = commanded(twins, LATER_US, PATIENCE_US)
    assert (told.desired_kw[0], told.applied_kw[0], told.state[0]) == (-3.0, -2.0, CommandState.UNCONFIRMED)


def test_it_is_a_copy_of_one_moment_with_the_link_and_the_meters_time() -> None:
    twins = shard()
    note(twins, events_of((1, SiteEventKind.LINK_UP, 3)))
    step(twins, batch_of(reading(int(twins.table.meter_device[1]), 1, 0.5)), NOW_US)
    told = commanded(twins, NOW_US, PATIENCE_US)
    note(twins, events_of((1, SiteEventKind.LINK_DOWN, 3)))
    assert told.link.tolist() == [Link.UNKNOWN, Link.UP]
    assert told.metered_us.tolist() == [0, NOW_US]
