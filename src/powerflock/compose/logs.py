"""The plant's log out of the user's settings: which one, and on a cluster what each topic is there."""

from __future__ import annotations

from pathlib import Path

from powerflock.log.kafka_options import KafkaOptions, Security, TopicOptions
from powerflock.log.membership import Groups
from powerflock.log.open import open_groups, open_log
from powerflock.log.port import Log
from powerflock.settings import Settings

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
BY_PARTITION = {
    "telemetry": _WEEK_MS,
    "commands": _WEEK_MS,
    "policies": -1,
    "accounts": -1,
    "registry": -1,
    "books": -1,
    "reports": _DAY_MS,
    "views": _DAY_MS,
}
"""Topics with an entry stream for each shard, and how long Kafka keeps what nobody trims, ms; −1: for ever."""
SINGLE = {"market": -1, "plant": -1, "alarms": -1, "orders": _DAY_MS}
"""The same of topics that use partition 0 alone."""


def log_url(settings: Settings, embedded: Path) -> str:
    """Where the log is; `embedded` is its file where the settings name no other."""
    return settings.log.url or f"sqlite:{embedded}"


def open_plant_log(settings: Settings, embedded: Path) -> Log:
    """The plant's log."""
    return open_log(log_url(settings, embedded), kafka_options(settings))


def open_plant_groups(settings: Settings, embedded: Path) -> Groups:
    """Membership of the plant's roles, on the same cluster as its log."""
    return open_groups(log_url(settings, embedded), settings.plant.partitions, kafka_options(settings))


def kafka_options(settings: Settings) -> KafkaOptions:
    """How a cluster is used; `log.url` says which."""
    own, partitions = settings.kafka, settings.plant.partitions
    topics = {name: TopicOptions(partitions, kept_ms) for name, kept_ms in BY_PARTITION.items()}
    topics |= {name: TopicOptions(1, kept_ms) for name, kept_ms in SINGLE.items()}
    security = Security(
        own.security_protocol,
        own.sasl_mechanism,
        own.username,
        own.password_file,
        own.ca_file,
        own.certificate_file,
        own.key_file,
    )
    return KafkaOptions(
        prefix=own.topic_prefix,
        partitions=partitions,
        topics=topics,
        replication=own.replication,
        min_insync_replicas=own.min_insync_replicas,
        production=own.production,
        security=security,
        patience_s=own.patience_s,
        transaction_s=own.transaction_s,
        session_s=own.session_s,
    )
