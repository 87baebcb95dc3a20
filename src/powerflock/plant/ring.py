"""The ring's tick: read `Ring.turn` from top to bottom and you have seen the power plant work.

open → every partition looks: observe, learn, settle, plan, offer → reports up → settle, clear, bid → order down → every
partition follows: commands. The two halves, `Member` and `Coordinator`, also run as processes of their own with a log
between them; here they meet in one. Deterministic: the same registry, batches, times, prices and outlook give the same
commands and events.
"""

from __future__ import annotations

from collections.abc import Sequence

from powerflock.domain.arrays import Records
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.market.account import Account
from powerflock.market.bids import Bid
from powerflock.plant.coordinator import Coordinator
from powerflock.plant.member import Member
from powerflock.plant.model import Award, RingSettings, Turn, Venue
from powerflock.plant.outlook import Outlook
from powerflock.plant.planner import Planner
from powerflock.plant.shard import SiteShard
from powerflock.twins.apply import StepReport
from powerflock.twins.commanded import commanded


class Ring:
    """The plant's state. Shells feed it registry events, batches and the time, and carry out what it decides."""

    def __init__(
        self,
        registry: Registry,
        settings: RingSettings,
        outlook: Outlook,
        venue: Venue,
        planner: Planner,
        epoch: int = 0,
    ) -> None:
        """An idle ring; `epoch` goes into every command."""
        self.registry, self.settings, self.outlook, self.venue = registry, settings, outlook, venue
        parts = range(registry.partitions)
        self.members = [Member(part, registry, settings, outlook, planner, epoch) for part in parts]
        self.coordinator = Coordinator(settings, outlook, venue)
        self.hierarchy = Hierarchy.of([registry.table(part) for part in parts])
        self._regroup()

    @property
    def shards(self) -> list[SiteShard]:
        """The partitions' sites."""
        return [member.shard for member in self.members]

    @property
    def account(self) -> Account:
        """The sums of all that was settled."""
        return self.coordinator.account

    @account.setter
    def account(self, account: Account) -> None:
        self.coordinator.account = account

    @property
    def award(self) -> Award | None:
        """The award in force."""
        return self.coordinator.award

    @property
    def bid(self) -> Bid | None:
        """The bid that stands."""
        return self.coordinator.bid

    @property
    def opened_us(self) -> int:
        """When the open interval's books were opened."""
        return self.coordinator.opened_us

    def enrolled(self, partition: int, first_seq: int) -> None:
        """The registry's sites of `partition` changed; commands continue above `first_seq`."""
        self.members[partition].enrolled(first_seq)
        self.hierarchy = self.hierarchy.grow([self.registry.table(part) for part in range(self.registry.partitions)])
        self._regroup()

    def resume(self, award: Award | None, opened_us: int) -> None:
        """After a restart, before newer readings are replayed: the interval that was open, its books from its start."""
        self.coordinator.resume(award, opened_us)
        if award is not None:
            for member in self.members:
                member.resume(award.interval, award.spot_per_mwh, opened_us)

    def ingest(self, partition: int, batch: Records, now_us: int) -> StepReport | None:
        """Readings, or events of links and commands, into twins; a report of the readings."""
        return self.members[partition].ingest(batch, now_us)

    def told(self, commands: Sequence[Records]) -> None:
        """These commands, by partition, are on their way: from now on they are what the sites should do."""
        for member, own in zip(self.members, commands, strict=True):
            member.told(own)

    def turn(self, now_us: int) -> Turn:
        """One tick of the ring at `now_us`."""
        opened, begins = self.coordinator.open(now_us)
        looks = [member.look(opened, now_us) for member in self.members]
        decided = self.coordinator.decide(opened, [report for report, _ in looks], now_us)
        commands = tuple(member.follow(decided.order, now_us) for member in self.members)
        patience_us = self.settings.estimate.report_period_us
        return Turn(
            now_us=now_us,
            interval=opened.interval,
            groups=decided.groups,
            firm=decided.firm,
            columns=tuple(member.columns for member in self.members),
            commanded=tuple(commanded(shard.twins, now_us, patience_us) for shard in self.shards),
            commands=commands,
            award=decided.award,
            bid=decided.bid,
            clearing=decided.clearing,
            target_kw=decided.target_kw,
            policies=tuple(
                (member.part, made) for member, (_, own) in zip(self.members, looks, strict=True) for made in own
            ),
            began=decided.award if begins else None,
            settled=decided.settled,
        )

    def _regroup(self) -> None:
        """All partitions stand in one hierarchy, so that the groups' ids are the same everywhere in this process."""
        for index, member in enumerate(self.members):
            member.stand(self.hierarchy, index)
