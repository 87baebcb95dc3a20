"""Who is enrolled: a fold of registry events into rows of sites and dense device numbers, partition by partition.

Invariants: rows and device numbers are those that the events say; they never move or disappear. An event that is known,
or older than what is known of its site, changes nothing, so a topic may be repeated, and compacted to the newest event
of each site: what leaves a gap in the numbers waits until the gap is filled. The tables handed out are never changed
afterwards. Must not know where events are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from powerflock.domain.arrays import F32, F64, I32, I64, U8
from powerflock.domain.columns import DeviceKind
from powerflock.domain.enrolment import Decision, Ends, SiteChange, Standing, decide, decode_entry
from powerflock.domain.errors import InconsistentRegistry, InvalidInput, NotFound
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec, Tariff
from powerflock.domain.site_columns import DeviceColumns, TableColumn, device_columns, spec_columns

ABSENT = -1
"""The device number of a device that a site does not have."""


class Place(NamedTuple):
    """Where in the network a site is connected, in which groups it is, and with what else it may fail."""

    region: str
    feeder: str
    path: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    gateway: str = ""
    provider: str = ""
    firmware: str = ""


class SiteAddress(NamedTuple):
    """Where a site's columns are: its partition, its row there, and its devices' numbers by wire name."""

    partition: int
    row: int
    devices: dict[str, int]


class Enrolment(NamedTuple):
    """What an enrolment did: rows added and rows changed (int64, ascending), and the reason for each site refused."""

    added: I64
    updated: I64
    outcome: Outcome


class Applied(NamedTuple):
    """What events did: rows added and rows changed, int64, ascending."""

    added: I64
    updated: I64

    def __bool__(self) -> bool:
        """Whether the partition's table is another one now."""
        return bool(self.added.size or self.updated.size)


@dataclass(frozen=True, slots=True, eq=False)
class SiteTable:
    """One partition's specs as columns: (D,) by device number, (S,) by site row.

    A site has exactly one meter and any number of other devices, each with its nameplate (0 where it has no such limit)
    and how often it reports (s; 0: as often as the gateway asks). A site's own columns are those of all its batteries
    together; without one, capacity and limits are exactly 0. Sites with equal `Place`s share a row of `places`.
    """

    device_site: I32
    device_kind: U8
    device_period_s: F32
    device_capacity_kwh: F32
    device_charge_limit_kw: F32
    device_discharge_limit_kw: F32
    first_device: I32
    meter_device: I32
    capacity_kwh: F64
    charge_limit_kw: F64
    discharge_limit_kw: F64
    charge_efficiency_ratio: F64
    discharge_efficiency_ratio: F64
    reserve_kwh: F64
    import_limit_kw: F64
    export_limit_kw: F64
    place: I32
    places: tuple[Place, ...]

    @property
    def sites(self) -> int:
        """S, the number of sites."""
        return self.meter_device.size

    @property
    def devices(self) -> int:
        """D, the number of devices."""
        return self.device_site.size

    def first_of(self, kind: DeviceKind) -> I32:
        """(S,) the number of each site's first device of `kind`; -1 where it has none."""
        first: I32 = np.full(self.sites, ABSENT, np.int32)
        devices = np.flatnonzero(self.device_kind == kind)[::-1]
        first[self.device_site[devices]] = devices
        return first

    @staticmethod
    def empty() -> SiteTable:
        """A partition without sites."""
        return SiteTable.of({name: np.empty(0, dtype) for name, dtype in TABLE_COLUMNS.items()}, ())

    @staticmethod
    def of(columns: Mapping[str, TableColumn], places: Iterable[Place]) -> SiteTable:
        """A table of the `columns` named in `TABLE_COLUMNS`, cast to their dtypes."""
        cast = {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in TABLE_COLUMNS.items()}
        return SiteTable(**cast, places=tuple(places))


_DTYPES = {"I32": "<i4", "U8": "|u1", "F32": "<f4", "F64": "<f8"}
TABLE_COLUMNS = {item.name: _DTYPES[str(item.type)] for item in fields(SiteTable) if item.name != "places"}
"""Name and dtype of each of the table's columns, in order."""


class _Changed(NamedTuple):
    """A change that says something new: how many devices the site had (0: it is new)."""

    change: SiteChange
    had: int


class _Partition:
    """`numbers[row]` is the newest event's; `scattered` are device numbers that do not simply follow each other."""

    def __init__(self) -> None:
        self.specs: list[SiteSpec] = []
        self.numbers: list[int] = []
        self.row_of: dict[str, int] = {}
        self.scattered: dict[int, tuple[int, ...]] = {}
        self.place_of: dict[Place, int] = {}
        self.table = SiteTable.empty()
        self.newest = 0
        self.waiting: dict[int, SiteChange] = {}
        self._rows_waiting, self._devices_waiting, self._top_row, self._top_device = 0, 0, -1, -1

    def devices(self, row: int) -> tuple[int, ...]:
        """The numbers of a site's devices, in the order of its nameplates."""
        scattered = self.scattered.get(row)
        if scattered is not None:
            return scattered
        first = int(self.table.first_device[row])
        return tuple(range(first, first + self.specs[row].device_count))

    def standing(self, row: int) -> Standing:
        """A site as it is known."""
        return Standing(row, self.devices(row), self.specs[row])

    def hold(self, change: SiteChange) -> None:
        """Let a change wait, unless as new a one is known."""
        row, before = change.row, self.waiting.get(change.row)
        known = row < len(self.specs)
        if change.number <= (before.number if before is not None else self.numbers[row] if known else 0):
            return
        had = before.devices if before is not None else self.devices(row) if known else ()
        self.waiting[row] = change
        self._rows_waiting += before is None and not known
        self._devices_waiting += len(change.devices) - len(had)
        self._top_row, self._top_device = max(self._top_row, row), max(self._top_device, *change.devices)
        self.newest = max(self.newest, change.number)

    def take(self) -> list[SiteChange]:
        """What waited, by row, if the rows and the devices' numbers then have no gap; else nothing yet."""
        rows, devices = len(self.specs), self.table.devices
        if self._rows_waiting and self._top_row + 1 != rows + self._rows_waiting:
            return []
        if self._devices_waiting and self._top_device + 1 != devices + self._devices_waiting:
            return []
        taken = [self.waiting[row] for row in sorted(self.waiting)]
        self.waiting, self._rows_waiting, self._devices_waiting = {}, 0, 0
        return taken


class Registry:
    """All partitions' sites. `enrol`, `apply` and `replay` change it; everything else only reads."""

    def __init__(self, partitions: int) -> None:
        """An empty registry of `partitions` ≥ 1 partitions."""
        if partitions < 1:
            raise InvalidInput("partitions", partitions, "must be 1 or more")
        self._partitions = [_Partition() for _ in range(partitions)]
        self._tariffs: dict[Tariff, Tariff] = {}

    @staticmethod
    def empty(partitions: int) -> Registry:
        """A registry of `partitions` ≥ 1 partitions and no sites."""
        return Registry(partitions)

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return len(self._partitions)

    @property
    def sites(self) -> int:
        """The number of sites in all partitions."""
        return sum(len(part.specs) for part in self._partitions)

    def enrol(self, partition: int, specs: Sequence[SiteSpec]) -> Enrolment:
        """Decide on `specs` and apply the decision at once: for a registry that is nobody else's."""
        decision = self.decide(partition, specs)
        applied = self.apply(partition, decision.changes)
        return Enrolment(*applied, Outcome.of(len(specs) - len(decision.reasons), decision.reasons))

    def decide(self, partition: int, specs: Sequence[SiteSpec]) -> Decision:
        """What enrolling `specs` would do here; see `enrolment.decide`. Nothing is changed."""
        part = self._part(partition)
        known = {spec.site: part.standing(part.row_of[spec.site]) for spec in specs if spec.site in part.row_of}
        return decide(partition, self.partitions, specs, known, self.ends(partition))

    def apply(self, partition: int, changes: Sequence[SiteChange]) -> Applied:
        """Fold events in. `InconsistentRegistry` where one contradicts what is known: they are of another plant."""
        part = self._part(partition)
        for change in changes:
            _check(part, partition, change)
            part.hold(change)
        changed: list[_Changed] = []
        for change in part.take():
            known = part.specs[change.row] if change.row < len(part.specs) else None
            if known == change.spec:
                part.numbers[change.row] = change.number
                continue
            changed.append(_Changed(change, 0 if known is None else known.device_count))
            self._put(part, change)
        if changed:
            _refresh(part, changed)
        rows = [[each.change.row for each in changed if bool(each.had) is old] for old in (False, True)]
        return Applied(*(np.array(each, np.int64) for each in rows))

    def replay(self, partition: int, payloads: Iterable[bytes]) -> Applied:
        """Fold entries of the registry topic in, of whatever format; rows that were added are not also updated."""
        added, updated, waiting = [np.empty(0, np.int64)], [np.empty(0, np.int64)], list[SiteChange]()
        tariffs: dict[bytes, Tariff] = {}

        def fold() -> None:
            done = self.apply(partition, waiting)
            added.append(done.added)
            updated.append(done.updated)
            waiting.clear()

        for payload in payloads:
            entry = decode_entry(payload, tariffs)
            if isinstance(entry, list):
                fold()
                waiting += self.decide(partition, entry).changes
            else:
                waiting += entry.changes
        fold()
        new = np.concatenate(added)
        return Applied(new, np.setdiff1d(np.concatenate(updated), new))

    def ends(self, partition: int) -> Ends:
        """What comes next in the partition."""
        part = self._part(partition)
        return Ends(len(part.specs), part.table.devices, part.newest + 1)

    def waiting(self, partition: int) -> int:
        """How many sites' events wait for those before them."""
        return len(self._part(partition).waiting)

    def standing(self, partition: int) -> list[Standing]:
        """All sites of the partition in row order, with their devices' numbers."""
        part = self._part(partition)
        return [part.standing(row) for row in range(len(part.specs))]

    def table(self, partition: int) -> SiteTable:
        """The partition's specs as columns, as of now."""
        return self._part(partition).table

    def specs(self, partition: int) -> Sequence[SiteSpec]:
        """The partition's specs in row order; not to be changed."""
        return self._part(partition).specs

    def spec(self, site: str) -> SiteSpec:
        """The spec of an enrolled site, or `NotFound`."""
        address = self.resolve(site)
        if address is None:
            msg = f"site {site!r} is not enrolled"
            raise NotFound(msg)
        return self._partitions[address.partition].specs[address.row]

    def resolve(self, site: str) -> SiteAddress | None:
        """Where an enrolled site's columns are; `None` for a site that is not enrolled."""
        partition = partition_of(site, self.partitions)
        part = self._partitions[partition]
        row = part.row_of.get(site)
        if row is None:
            return None
        names = [plate.name for plate in part.specs[row].nameplates()]
        return SiteAddress(partition, row, dict(zip(names, part.devices(row), strict=True)))

    def _part(self, partition: int) -> _Partition:
        if not 0 <= partition < len(self._partitions):
            raise InvalidInput("partition", partition, f"must lie between 0 and {len(self._partitions) - 1}")
        return self._partitions[partition]

    def _put(self, part: _Partition, change: SiteChange) -> None:
        """The site into its row, new or known; one copy of a tariff serves all its sites: a million share a few."""
        tariff = self._tariffs.setdefault(change.spec.tariff, change.spec.tariff)
        spec, row, devices = change.spec, change.row, change.devices
        if spec.tariff is not tariff:
            spec = msgspec.structs.replace(spec, tariff=tariff)
        if row == len(part.specs):
            part.specs.append(spec)
            part.numbers.append(change.number)
            part.row_of[spec.site] = row
        else:
            part.specs[row], part.numbers[row] = spec, change.number
        if devices != tuple(range(devices[0], devices[0] + len(devices))):
            part.scattered[row] = devices


def _check(part: _Partition, partition: int, change: SiteChange) -> None:
    """Raise `InconsistentRegistry` if a change gives a row, a site or a device a second meaning."""
    site, waits = change.spec.site, part.waiting.get(change.row)
    known: SiteSpec | None = part.specs[change.row] if change.row < len(part.specs) else None
    holder = waits.spec.site if waits is not None else known.site if known is not None else site
    had = part.devices(change.row) if known is not None else ()
    place = f"event {change.number} of partition {partition}"
    if holder != site or part.row_of.get(site, change.row) != change.row:
        raise InconsistentRegistry(f"{place} puts site {site} in row {change.row}, which is not its own")
    shared = min(len(had), len(change.devices))
    if change.devices[:shared] != had[:shared] or len(change.devices) != change.spec.device_count:
        raise InconsistentRegistry(f"{place} numbers the devices of site {site} {change.devices}; known are {had}")


def _refresh(part: _Partition, changed: Sequence[_Changed]) -> None:
    """Replace the partition's table by one with the new rows and devices at its end and the updated rows rewritten."""
    updated = [each for each in changed if each.had]
    rewritten = _site_columns(part, updated)
    devices = device_columns([each.change.spec for each in changed])
    number = np.fromiter(chain.from_iterable(each.change.devices for each in changed), np.int32, devices.spec.size)
    new = _new_device_columns(changed, devices, number)
    new |= _site_columns(part, [each for each in changed if not each.had])
    columns = {name: np.concatenate((getattr(part.table, name), new[name])) for name in TABLE_COLUMNS}
    if updated:
        rows = [each.change.row for each in updated]
        for name, values in rewritten.items():
            columns[name][rows] = values
        for name, values in devices.columns.items():
            columns[name][number] = values
    part.table = SiteTable.of(columns, part.place_of)


def _site_columns(part: _Partition, changed: Sequence[_Changed]) -> dict[str, TableColumn]:
    """The sites' own columns; places that are new are numbered."""
    specs = [each.change.spec for each in changed]
    places = [part.place_of.setdefault(_place(spec), len(part.place_of)) for spec in specs]
    return spec_columns(specs) | {"place": np.array(places, np.int32)}


def _place(spec: SiteSpec) -> Place:
    return Place(spec.region, spec.feeder, spec.path, spec.sets, spec.gateway, spec.provider, spec.firmware)


def _new_device_columns(changed: Sequence[_Changed], devices: DeviceColumns, number: I32) -> dict[str, TableColumn]:
    """What new ones of the `devices` of `changed` put at the end of the columns, in the order of their numbers."""
    had, row = (np.array(column, np.int32) for column in zip(*((c.had, c.change.row) for c in changed), strict=True))
    new = np.flatnonzero(devices.place >= had[devices.spec])
    order = new[np.argsort(number[new])]
    columns = {name: values[order] for name, values in devices.columns.items()}
    columns["device_site"] = row[devices.spec[order]]
    first = np.flatnonzero((devices.place == 0) & (had[devices.spec] == 0))  # only a new site has a new meter
    meter = np.flatnonzero((devices.columns["device_kind"] == DeviceKind.METER) & (had[devices.spec] == 0))
    return columns | {"first_device": number[first], "meter_device": number[meter]}
