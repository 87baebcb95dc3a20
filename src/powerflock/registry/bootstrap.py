"""How a process comes to know who is enrolled: from the database or from the topic, then by following the topic.

Invariants: both give the same rows, numbers and specs; nothing published meanwhile is missed, for the place in the
topic is taken before the database is read.
"""

from __future__ import annotations

from powerflock.domain.enrolment import TOPIC
from powerflock.domain.registry import Registry
from powerflock.log.follower import Follower
from powerflock.log.port import Log
from powerflock.registry.store import Store


def from_database(store: Store, log: Log) -> tuple[Registry, Follower]:
    """The registry as the database has it, and the topic from there on."""
    follower = Follower(log, TOPIC, [log.end(TOPIC, partition) for partition in range(store.partitions)])
    registry = Registry(store.partitions)
    store.load(registry)
    return registry, follower


def from_topic(log: Log, partitions: int) -> tuple[Registry, Follower]:
    """The registry as the topic tells it, for a process that reaches no database."""
    registry, follower = Registry(partitions), Follower(log, TOPIC, [0] * partitions)
    follow(registry, follower)
    return registry, follower


def follow(registry: Registry, follower: Follower) -> list[int]:
    """Fold in what is new in the topic; returns the partitions whose tables changed."""
    changed = []
    for partition in range(registry.partitions):
        payloads = follower.new(partition)
        if payloads and registry.replay(partition, payloads):
            changed.append(partition)
    return changed
