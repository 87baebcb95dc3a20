"""The session's rules, without a socket: hello first, credits, and errors that add up."""

from __future__ import annotations

import pytest

from powerflock.domain.clock import VirtualClock
from powerflock.domain.outcomes import Status
from powerflock.gateway.protocol import JSON, Ack, ClientMessage, CommandAck, Error, Hello, Readings, Welcome
from powerflock.gateway.session import GatewayOptions, Result, Session, Submission
from powerflock.gateway.tokens import issue
from tests.integration.gateway_device import SECRET, START_US, Homes, readings


def session(options: GatewayOptions | None = None) -> Session:
    return Session("s1", JSON, VirtualClock(START_US), Homes(), SECRET, options or GatewayOptions())


def say(to: Session, message: ClientMessage) -> Result:
    return to.receive(JSON.encode(message))


def opened(options: GatewayOptions | None = None) -> Session:
    made = session(options)
    assert isinstance(say(made, Hello([1], "home-3", issue(SECRET, "home-3"))), Welcome)
    return made


def submitted(to: Session, message: Readings) -> Submission:
    result = say(to, message)
    assert isinstance(result, Submission), result
    return result


def test_hello_opens_the_session_and_says_whose_it_is() -> None:
    made = opened()
    assert (made.site, made.route) == ("home-3", (1, 1))


@pytest.mark.parametrize("message", [readings(1), CommandAck(1, Status.APPLIED)])
def test_nothing_but_hello_is_understood_first(message: ClientMessage) -> None:
    error = say(session(), message)
    assert isinstance(error, Error)
    assert (error.code, error.fatal) == ("hello_required", True)


def test_readings_leave_with_their_device_numbers_partition_and_time_of_arrival() -> None:
    made = submitted(opened(), readings(4, [1, 2], "meter"))
    assert (made.batch, made.partition, made.devices, made.received_us) == (4, 1, [3, 3], START_US)


def test_credits_are_taken_by_readings_and_given_back_by_acks_and_refusals() -> None:
    made = opened(GatewayOptions(credits=3))
    first = submitted(made, readings(1, [1, 2]))
    second = submitted(made, readings(2, [3]))
    refused = say(made, readings(3, [4]))
    assert isinstance(refused, Error)
    assert (refused.code, refused.batch) == ("over_credit", 3)
    assert made.settle(first, None) == Ack(1, 3)
    third = submitted(made, readings(3, [4, 5]))
    bad = Error("invalid_reading", "why", fatal=False, batch=2)
    assert made.settle(second, bad) == bad
    assert made.settle(third, None) == Ack(3, 3)
    submitted(made, readings(4, [6, 7, 8]))


def test_refused_frames_in_a_row_end_the_session_and_an_accepted_batch_forgives_them() -> None:
    made = opened(GatewayOptions(max_errors=3))
    codes = []
    for frame in (b"x", b"x", None, b"x", b"x", b"x"):
        if frame is None:
            made.settle(submitted(made, readings(1)), None)
            continue
        error = made.receive(frame)
        assert isinstance(error, Error)
        codes.append((error.code, error.fatal))
    assert codes == [("bad_frame", False)] * 4 + [("too_many_errors", True)]
