"""The log that a URL names. Must not know who uses it."""

from __future__ import annotations

from powerflock.domain.errors import InvalidInput
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Log
from powerflock.log.sqlite import SqliteLog


def open_log(url: str) -> Log:
    """The log at `memory:` or `sqlite:PATH`; `InvalidInput` for any other URL, `LogError` if it cannot be opened."""
    scheme, _, rest = url.partition(":")
    if url == "memory:":
        return MemoryLog()
    if scheme == "sqlite" and rest:
        return SqliteLog(rest)
    raise InvalidInput("log URL", url, "must be memory: or sqlite:PATH, e.g. sqlite:/var/lib/powerflock/log.sqlite")
