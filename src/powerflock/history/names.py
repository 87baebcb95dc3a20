"""Who is behind a device number, partition by partition: site, device name and groups, as columns to look rows up in.

Invariants: what is known of a device never changes, so a look at the registry adds the new ones only; the groups of a
site are those of the last look. Must not know files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from powerflock.domain.arrays import I32, I64
from powerflock.domain.registry import Registry
from powerflock.groups.hierarchy import Hierarchy
from powerflock.history.arrow import texts


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The groups that hold a leaf are `members[start[leaf] : start[leaf + 1]]`, as positions in `names`."""

    names: tuple[str, ...] = ()
    start: I64 = field(default_factory=lambda: np.zeros(1, np.int64))
    members: I32 = field(default_factory=lambda: np.empty(0, np.int32))

    def of(self, leaves: I32) -> tuple[I64, I32]:
        """For (N,) leaves, all pairs: (M,) the position in `leaves` and (M,) a group that holds it."""
        first, counts = self.start[leaves], np.diff(self.start)[leaves]
        position = np.repeat(np.arange(leaves.size), counts)
        within = np.arange(position.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return position.astype(np.int64), self.members[first[position] + within]


@dataclass(slots=True)
class Names:
    """One partition: (D,) each device's site row and its name's position in `devices`; (S,) site ids and leaves."""

    site_of_device: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    name_of_device: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    leaf_of_site: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    sites: pa.StringArray = field(default_factory=lambda: texts(()))
    devices: dict[str, int] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """D, the number of devices."""
        return self.site_of_device.size


class Directory:
    """All partitions' names, for one reader; `look` brings them up to date."""

    def __init__(self, partitions: int) -> None:
        """Nobody is known yet."""
        self.partitions = [Names() for _ in range(partitions)]
        self.groups = Groups()

    def look(self, registry: Registry, hierarchy: Hierarchy) -> None:
        """Take in who is new. Neither may change meanwhile."""
        self.groups = Groups(hierarchy.names, hierarchy.leaf_start, hierarchy.leaf_groups)
        for partition, names in enumerate(self.partitions):
            names.leaf_of_site = hierarchy.rows_of_site[partition][:, 0]
            if registry.table(partition).devices > names.known:
                _add(names, registry, partition)


def _add(names: Names, registry: Registry, partition: int) -> None:
    """The devices numbered from `names.known` on."""
    table, specs, known = registry.table(partition), registry.specs(partition), names.known
    codes = np.zeros(table.devices - known, np.int32)
    for row in np.unique(table.device_site[known:]).tolist():
        address = registry.resolve(specs[row].site)
        assert address is not None, "the registry resolves every site that it lists"
        for name, number in address.devices.items():
            if number >= known:
                codes[number - known] = names.devices.setdefault(name, len(names.devices))
    names.site_of_device = table.device_site
    names.name_of_device = np.concatenate((names.name_of_device, codes))
    new = texts(spec.site for spec in specs[len(names.sites) :])
    names.sites = pa.concat_arrays([names.sites, new])
