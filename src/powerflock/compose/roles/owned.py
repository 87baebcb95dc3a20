"""The partitions that a twins process owns, as much of a ring and of a turn as one site's page needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.plant.member import Member
from powerflock.plant.model import RingSettings
from powerflock.plant.shard import SiteShard
from powerflock.twins.commanded import Commanded, commanded
from powerflock.twins.estimate import SiteColumns, observe


@dataclass(frozen=True, slots=True)
class Owned:
    """By partition; those that are not owned have no sites. `now_us` is when the owned ones looked last."""

    registry: Registry
    hierarchy: Hierarchy
    settings: RingSettings
    shards: Sequence[SiteShard]
    now_us: int
    interval: int
    columns: tuple[SiteColumns, ...]
    commanded: tuple[Commanded, ...]

    @staticmethod
    def of(registry: Registry, settings: RingSettings, members: Mapping[int, Member]) -> Owned:
        """What these members last saw."""
        now_us = max((member.last_us for member in members.values()), default=0)
        nobody = SiteShard()
        nothing = observe(nobody.twins, now_us, settings.estimate)
        shards = [members[part].shard if part in members else nobody for part in range(registry.partitions)]
        patience_us = settings.estimate.report_period_us
        return Owned(
            registry=registry,
            hierarchy=Hierarchy.of([]),
            settings=settings,
            shards=shards,
            now_us=now_us,
            interval=max((member.interval for member in members.values()), default=0),
            columns=tuple(members[part].columns if part in members else nothing for part in range(registry.partitions)),
            commanded=tuple(commanded(shard.twins, now_us, patience_us) for shard in shards),
        )
