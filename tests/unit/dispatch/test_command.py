"""Commands say something new or renew what is about to run out, and are numbered so that none is taken twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from powerflock.dispatch.command import DEADBAND_KW, CommandBook, issue
from powerflock.domain.arrays import Records
from powerflock.domain.columns import Issuer

LIFE = 600_000_000
TICK = 60_000_000


def tell(book: CommandBook, setpoint_kw: list[float], now_us: int) -> Records:
    size = len(setpoint_kw)
    return issue(
        book, np.array(setpoint_kw), np.full(size, 0.1), np.full(size, Issuer.MARKET, np.uint8), now_us, LIFE, 7
    )


def test_a_first_command_carries_everything_and_ends() -> None:
    command = tell(CommandBook.empty(2, 40), [1.5, np.nan], 1000)
    assert command["site"].tolist() == [0]
    row = command[0]
    assert (row["seq"], row["setpoint_kw"], row["not_before_us"], row["expires_us"]) == (41, 1.5, 1000, 1000 + LIFE)
    assert (row["epoch"], row["issuer"]) == (7, Issuer.MARKET)


def test_a_setpoint_within_the_deadband_is_not_sent_again() -> None:
    book = CommandBook.empty(1, 0)
    tell(book, [1.0], 0)
    assert tell(book, [1.0 + DEADBAND_KW / 2], TICK).size == 0
    assert tell(book, [1.0 + DEADBAND_KW * 2], TICK).size == 1


def test_small_steps_do_not_creep_away_unsent() -> None:
    """The deadband is around what was last told, not around the last wish."""
    book = CommandBook.empty(1, 0)
    tell(book, [0.0], 0)
    sent = [tell(book, [0.004 * step], step).size for step in range(1, 6)]
    assert sum(sent) >= 2


def test_a_command_is_renewed_well_before_it_expires() -> None:
    book = CommandBook.empty(1, 0)
    tell(book, [1.0], 0)
    renewed = next(now for now in range(TICK, 2 * LIFE, TICK) if tell(book, [1.0], now).size)
    assert LIFE // 2 < renewed <= LIFE // 2 + TICK


@given(st.lists(st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=3, max_size=3), min_size=1, max_size=12))
def test_sequences_only_rise_and_no_home_is_left_without_a_valid_command(wishes: list[list[float]]) -> None:
    book = CommandBook.empty(3, 100)
    last, until = np.full(3, 100), np.zeros(3)
    for step, wish in enumerate(wishes):
        now = step * TICK
        commands = tell(book, wish, now)
        sites = commands["site"]
        assert (commands["seq"] > last[sites]).all()
        last[sites], until[sites] = commands["seq"], commands["expires_us"]
        wanted = np.isfinite(np.array(wish))
        assert (until[wanted] > now + TICK).all()
        held = book.setpoint_kw[wanted]
        assert (np.abs(held - np.array(wish)[wanted]) <= DEADBAND_KW).all()


def test_homes_that_join_later_start_above_the_sequences_used_before() -> None:
    book = CommandBook.empty(1, 5)
    tell(book, [1.0], 0)
    book.grow(3, 9000)
    command = tell(book, [1.0, 2.0, 3.0], TICK)
    assert command["site"].tolist() == [1, 2]
    assert command["seq"].tolist() == [9001, 9001]
