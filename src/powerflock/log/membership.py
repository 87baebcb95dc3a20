"""Who owns which partitions of a topic: the port for roles that share a fleet, and the case of one owner of everything.

Invariants: a partition has one owner or none; an owner may go on until its `revoked` has returned, and must stop at
`lost`, when another may already have begun: what it still writes then is refused by its claim's fence. Membership moves
no entries: owners read through the log. Must not know what owners do.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from powerflock.domain.errors import InvalidInput
from powerflock.log.port import check_place


class Changes(Protocol):
    """What a member is told, from a thread of the membership's own; what it raises ends the membership."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """These are this member's now, beside those it has."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """These go to others once this returns: finish with them."""

    def lost(self, partitions: Sequence[int]) -> None:
        """These have gone to others already: drop them."""


class Member(Protocol):
    """One process's membership of one group."""

    def joined(self) -> bool:
        """Whether the group has answered: from then on `owned` says what this member has, if anything."""

    def owned(self) -> frozenset[int]:
        """Partitions this member may work on now; raises what one of its `Changes` raised."""

    def close(self) -> None:
        """Give all back (`revoked` is called) and leave; closing twice is harmless."""


class Groups(Protocol):
    """Groups of members over the partitions of a topic."""

    def join(self, group: str, topic: str, name: str, address: str, changes: Changes) -> Member:
        """Become a member under a `name` that is this process's own and stays the same when it is started again.

        `address` is what `owners` tells others.
        """

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """The address of each partition's owner; partitions without one are absent."""

    def close(self) -> None:
        """Release the backend; members are closed first by whoever holds them."""


class SoleGroups:
    """For logs of one process: a group has one member at most, and it owns all partitions at once."""

    def __init__(self, partitions: int) -> None:
        """Every topic has this many."""
        self._partitions = partitions
        self._lock = threading.Lock()
        self._members: dict[tuple[str, str], _SoleMember] = {}

    def join(self, group: str, topic: str, name: str, address: str, changes: Changes) -> Member:
        """See `Groups.join`; `InvalidInput` where the group has a member."""
        check_place(topic, 0)
        with self._lock:
            if (group, topic) in self._members:
                raise InvalidInput(
                    f"member of {group}", name, "must be alone: in this log one process owns everything",
                    "To share a fleet among processes set log.url to kafka://HOST:PORT.",
                )  # fmt: skip
            member = _SoleMember(self, (group, topic), address, changes)
            self._members[group, topic] = member
        member.begin(frozenset(range(self._partitions)))
        return member

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """See `Groups.owners`."""
        with self._lock:
            member = self._members.get((group, topic))
        return dict.fromkeys(sorted(member.owned()), member.address) if member is not None else {}

    def leave(self, place: tuple[str, str]) -> None:
        """The group's member has closed."""
        with self._lock:
            self._members.pop(place, None)

    def close(self) -> None:
        """See `Groups.close`."""


class _SoleMember:
    def __init__(self, groups: SoleGroups, place: tuple[str, str], address: str, changes: Changes) -> None:
        self.address = address
        self._groups, self._place, self._changes = groups, place, changes
        self._owned: frozenset[int] = frozenset()

    def begin(self, partitions: frozenset[int]) -> None:
        self._owned = partitions
        self._changes.assigned(sorted(partitions))

    def joined(self) -> bool:
        return True

    def owned(self) -> frozenset[int]:
        return self._owned

    def close(self) -> None:
        if self._owned:
            self._changes.revoked(sorted(self._owned))
            self._owned = frozenset()
            self._groups.leave(self._place)
