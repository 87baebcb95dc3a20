"""What an edge accepts: newest first, bounded in time, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from powerflock.domain.arrays import Records
from powerflock.domain.columns import COMMAND
from powerflock.edge.safety import Held, Refusal, accept, due

NOW = 1_767_225_600_000_000
MINUTE = 60_000_000


def command(**changes: float) -> Records:
    made = np.zeros(1, dtype=COMMAND)
    made["seq"], made["epoch"], made["setpoint_kw"] = 5, 3, -2.0
    made["not_before_us"], made["expires_us"] = NOW, NOW + 5 * MINUTE
    for name, value in changes.items():
        made[name] = value
    return made


def give(held: Held, *commands: Records, now_us: int = NOW) -> tuple[Held, list[Refusal]]:
    batch = np.concatenate(commands)
    held, reasons = accept(held, batch, batch["site"].astype(np.int64), now_us)
    return held, [Refusal(reason) for reason in reasons.tolist()]


def setpoint(held: Held, now_us: int) -> float:
    return float(due(held, now_us)[0][0])


def test_a_good_command_holds_until_it_expires_and_then_reverts_by_itself() -> None:
    held, reasons = give(Held.none(2), command())
    assert reasons == [Refusal.ACCEPTED]
    assert setpoint(held, NOW) == -2.0
    assert setpoint(held, NOW + 5 * MINUTE - 1) == -2.0
    assert np.isnan(setpoint(held, NOW + 5 * MINUTE))
    assert np.isnan(due(held, NOW)[0][1]), "the other home holds nothing"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"setpoint_kw": np.nan}, Refusal.MALFORMED),
        ({"setpoint_kw": np.inf}, Refusal.MALFORMED),
        ({"expires_us": NOW}, Refusal.MALFORMED),
        ({"not_before_us": NOW - 2, "expires_us": NOW - 1}, Refusal.EXPIRED),
        ({"expires_us": NOW + 25 * 60 * MINUTE}, Refusal.BEYOND_HORIZON),
        ({"site": 2}, Refusal.UNKNOWN_SITE),
    ],
)
def test_a_command_that_breaks_the_commissioning_rules_changes_nothing(
    changes: dict[str, float], reason: Refusal
) -> None:
    held, reasons = give(Held.none(2), command(**changes))
    assert reasons == [reason]
    assert np.isnan(due(held, NOW)[0]).all()


def test_replays_and_former_owners_are_refused_and_a_new_epoch_starts_its_own_count() -> None:
    held, _ = give(Held.none(1), command())
    for changes, reason in (
        ({}, Refusal.REPLAYED),
        ({"seq": 4}, Refusal.REPLAYED),
        ({"seq": 99, "epoch": 2}, Refusal.OLDER_EPOCH),
        ({"seq": 1, "epoch": 4}, Refusal.ACCEPTED),
    ):
        after, reasons = give(held, command(setpoint_kw=7.0, **changes))
        assert reasons == [reason]
        assert setpoint(after, NOW) == (7.0 if reason is Refusal.ACCEPTED else -2.0)


def test_a_command_for_later_leaves_the_current_one_running_until_then() -> None:
    held, _ = give(Held.none(1), command())
    later = command(seq=6, setpoint_kw=3.0, not_before_us=NOW + 4 * MINUTE, expires_us=NOW + 9 * MINUTE)
    held, reasons = give(held, later)
    assert reasons == [Refusal.ACCEPTED]
    assert setpoint(held, NOW + 3 * MINUTE) == -2.0
    _, held = due(held, NOW + 4 * MINUTE)
    assert setpoint(held, NOW + 4 * MINUTE) == 3.0
    assert setpoint(held, NOW + 8 * MINUTE) == 3.0


def test_an_immediate_newer_command_cancels_one_that_waits() -> None:
    later = command(seq=6, setpoint_kw=3.0, not_before_us=NOW + MINUTE)
    held, _ = give(Held.none(1), later)
    held, _ = give(held, command(seq=7, setpoint_kw=0.0))
    assert setpoint(held, NOW + 2 * MINUTE) == 0.0


def test_several_commands_for_one_home_are_judged_in_their_order() -> None:
    held, reasons = give(Held.none(2), command(), command(seq=7, setpoint_kw=1.0), command(seq=6), command(site=1))
    assert reasons == [Refusal.ACCEPTED, Refusal.ACCEPTED, Refusal.REPLAYED, Refusal.ACCEPTED]
    assert due(held, NOW)[0].tolist() == [1.0, -2.0]
