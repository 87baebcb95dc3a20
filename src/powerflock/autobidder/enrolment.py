"""Where sites are enrolled and followed: a port, and the one for a plant whose log is its only memory.

Invariants: what `enrol` returned is durable, and after `publish` it is in the registry topic; the ring learns of it
from there alone. Must not know databases: `registry` does, and `compose` hands it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from powerflock.domain.enrolment import TOPIC, encode_changes
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.registry import Registry
from powerflock.domain.site import SiteSpec
from powerflock.log.follower import Follower
from powerflock.log.port import Claim, Log


class Registrar(Protocol):
    """Keeps who is enrolled. Each method may be called from any thread."""

    def reconcile(self, registry: Registry) -> None:
        """At a start, with what the topic says: take over from a plant that had only that, or refuse to differ."""

    def enrol(self, specs: Sequence[SiteSpec], claim: Claim) -> Outcome:
        """Keep `specs` durably, under the runner's `claim`; refused ones come back with their reasons."""

    def publish(self, claim: Claim) -> None:
        """What is kept but not yet in the topic goes there, in order; a stale claim raises `Fenced`."""


class LogRegistrar:
    """Decides against the ring's own registry and writes to the topic at once."""

    def __init__(self, log: Log, registry: Registry) -> None:
        """`registry` follows the topic and is changed by nobody else."""
        self._log, self._registry = log, registry

    def reconcile(self, registry: Registry) -> None:
        """Nothing to do: the topic is all there is."""

    def enrol(self, specs: Sequence[SiteSpec], claim: Claim) -> Outcome:
        """See `Registrar.enrol`; all partitions in one transaction."""
        entries: list[tuple[str, int, bytes]] = []
        reasons: dict[str, str] = {}
        for partition, own in by_partition(specs, self._registry.partitions).items():
            decision = self._registry.decide(partition, own)
            reasons |= decision.reasons
            if decision.changes:
                entries.append((TOPIC, partition, encode_changes(decision.changes)))
        if entries:
            self._log.transact(entries, claim=claim)
        return Outcome.of(len(specs) - len(reasons), reasons)

    def publish(self, claim: Claim) -> None:
        """Nothing to do: `enrol` has."""


def follow(registry: Registry, follower: Follower) -> Iterator[int]:
    """Fold in what is new in the topic, partition by partition as it is iterated; yields those whose tables changed."""
    for partition in range(registry.partitions):
        payloads = follower.new(partition)
        if payloads and registry.replay(partition, payloads):
            yield partition


def by_partition(specs: Sequence[SiteSpec], partitions: int) -> dict[int, list[SiteSpec]]:
    """The specs of each partition that has any, in their order."""
    found: dict[int, list[SiteSpec]] = {}
    for spec in specs:
        found.setdefault(partition_of(spec.site, partitions), []).append(spec)
    return dict(sorted(found.items()))
