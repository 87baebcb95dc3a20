"""Every error Powerflock raises, named once; each border (HTTP, WebSocket, exit code) maps them in one place.

An error names the thing, the value, the bound and what to do. Partial failure is not an error: see `outcomes`.
"""

from __future__ import annotations


class PowerflockError(Exception):
    """Base of all errors raised on purpose; `code` is stable and machine readable."""

    code = "error"


class InvalidInput(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """A value from outside is out of bounds; nothing was changed."""

    code = "invalid_input"

    def __init__(self, thing: str, value: object, bound: str, remedy: str = "") -> None:
        """Compose `thing is value; bound. remedy`."""
        self.thing, self.value, self.bound, self.remedy = thing, value, bound, remedy
        text = f"{thing} is {value!r}; {bound}."
        super().__init__(f"{text} {remedy}".strip())


class NotConvex(InvalidInput):
    """The problem handed to a convex solver is not convex; the convex answer would be wrong."""

    code = "not_convex"


class Infeasible(InvalidInput):
    """No plan satisfies the limits given."""

    code = "infeasible"


class ProtocolError(PowerflockError):
    """A device sent a frame that breaks the protocol; only that session is affected."""

    code = "protocol_error"

    def __init__(self, code: str, message: str, *, fatal: bool = False) -> None:
        """Keep the wire `code`; `fatal` closes the session after the error frame."""
        super().__init__(message)
        self.code, self.fatal = code, fatal


class Unauthorised(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The token or key is missing or wrong."""

    code = "unauthorised"


class NotFound(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The named thing does not exist."""

    code = "not_found"


class NotReady(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """The plant still comes back after a stop: the same request succeeds a little later."""

    code = "not_ready"


class LogError(PowerflockError):
    """The log cannot append or read: infrastructure, so the caller stops or retries."""

    code = "log_error"


class RegistryError(PowerflockError):
    """The registry's database cannot answer or keep what it was given: infrastructure, so the caller retries."""

    code = "registry_error"


class InconsistentRegistry(RegistryError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """Two sources say different things of one row, site or device: the log and the database are of two plants."""

    code = "inconsistent_registry"


class HistoryError(PowerflockError):
    """The stored history cannot be written or read: infrastructure, so the caller retries or does without."""

    code = "history_error"


class DamagedSnapshot(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """A snapshot's checksum or shape is wrong; the one before it is to be used."""

    code = "damaged_snapshot"


class UnsoundPlan(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """A plan broke a rule of its own problem: a defect of a solver, found by the independent checker."""

    code = "unsound_plan"


class Unsolved(PowerflockError):  # noqa: N818 - reads as a sentence where it is raised and caught
    """A solver gave up without an answer: there may be a plan or none."""

    code = "unsolved"
