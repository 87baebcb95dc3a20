"""The log that a URL names. Must not know who uses it."""

from __future__ import annotations

from dataclasses import replace

from powerflock.domain.errors import InvalidInput
from powerflock.log.kafka_options import KafkaOptions
from powerflock.log.membership import Groups, SoleGroups
from powerflock.log.memory import MemoryLog
from powerflock.log.port import Log
from powerflock.log.sqlite import SqliteLog

KAFKA = "kafka://"


def open_log(url: str, kafka: KafkaOptions | None = None) -> Log:
    """The log at `memory:`, `sqlite:PATH` or `kafka://HOST:PORT[,HOST:PORT]`.

    `kafka` is how such a cluster is used; the URL's servers take the place of its own. Raises `InvalidInput` for any
    other URL, `LogError` if the log cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if url == "memory:":
        return MemoryLog()
    if scheme == "sqlite" and rest:
        return SqliteLog(rest)
    if url.startswith(KAFKA):
        return _kafka(_at(url, kafka))
    raise InvalidInput(
        "log URL", url, "must be memory:, sqlite:PATH or kafka://HOST:PORT[,HOST:PORT]",
        "E.g. sqlite:/var/lib/powerflock/log.sqlite",
    )  # fmt: skip


def open_groups(url: str, partitions: int, kafka: KafkaOptions | None = None) -> Groups:
    """The membership that goes with `open_log(url)`: shared on a cluster, else one owner of all `partitions`."""
    return _kafka_groups(_at(url, kafka)) if url.startswith(KAFKA) else SoleGroups(partitions)


def _at(url: str, kafka: KafkaOptions | None) -> KafkaOptions:
    servers = url.removeprefix(KAFKA)
    return replace(kafka, servers=servers) if kafka is not None else KafkaOptions(servers=servers)


def _kafka(options: KafkaOptions) -> Log:
    try:
        from powerflock.log.kafka import KafkaLog  # noqa: PLC0415 - only those who use a cluster have its client
    except ModuleNotFoundError as error:
        raise _absent(options, error) from error
    return KafkaLog(options)


def _kafka_groups(options: KafkaOptions) -> Groups:
    try:
        from powerflock.log.kafka_membership import KafkaGroups  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise _absent(options, error) from error
    return KafkaGroups(options)


def _absent(options: KafkaOptions, error: ModuleNotFoundError) -> InvalidInput:
    return InvalidInput(
        "log URL", f"{KAFKA}{options.servers}", f"needs the package {error.name}, which is not installed",
        "Install powerflock[kafka].",
    )  # fmt: skip
