"""Who is enrolled: a fold of registry events into rows of sites and dense device numbers, partition by partition.

Invariants: rows and device numbers are given in the order of enrolment and never move or disappear; a site's devices
are numbered in the order of `SiteSpec.nameplates`, those it gets later after all others; the same events in the same
order give the same numbers. The tables handed out are never changed afterwards. Must not know where events are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from powerflock.domain.arrays import F32, F64, I32, I64, U8
from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput, NotFound
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import Nameplate, SiteSpec, Tariff, check_spec

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


TableColumn: TypeAlias = I32 | U8 | F32 | F64
_DTYPES = {"I32": "<i4", "U8": "|u1", "F32": "<f4", "F64": "<f8"}
TABLE_COLUMNS = {item.name: _DTYPES[str(item.type)] for item in fields(SiteTable) if item.name != "places"}
"""Name and dtype of each of the table's columns, in order."""


class _NewDevices(NamedTuple):
    """Devices that a site got: its first ones, or more."""

    row: int
    plates: list[Nameplate]
    first: bool


class _Partition:
    def __init__(self) -> None:
        self.specs: list[SiteSpec] = []
        self.row_of: dict[str, int] = {}
        self.later: dict[int, list[int]] = {}
        self.place_of: dict[Place, int] = {}
        self.table = SiteTable.empty()


class Registry:
    """All partitions' sites. `enrol` applies one event; everything else only reads."""

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
        """Apply one registry event: add unknown sites, update changed specs in their rows, leave equal ones alone.

        A spec that is out of bounds, of another partition, or that removes a device of a known site or puts one before
        others is refused with its reason; the others are applied all the same.
        """
        part = self._part(partition)
        added: list[int] = []
        updated: set[int] = set()
        devices: list[_NewDevices] = []
        reasons: dict[str, str] = {}
        for spec in specs:
            row = part.row_of.get(spec.site)
            known = None if row is None else part.specs[row]
            reason = self.refusal(partition, spec)
            if reason is not None:
                reasons[spec.site] = reason
            elif row is None:
                part.row_of[spec.site] = len(part.specs)
                devices.append(_NewDevices(len(part.specs), spec.nameplates(), first=True))
                added.append(len(part.specs))
                part.specs.append(self._shared(spec))
            elif known is not None and spec != known:
                more = spec.nameplates()[len(known.nameplates()) :]
                if more:
                    devices.append(_NewDevices(row, more, first=False))
                part.specs[row] = self._shared(spec)
                updated.add(row)
        if added or updated:
            _refresh(part, added, sorted(updated), devices)
        updated.difference_update(added)
        outcome = Outcome.of(len(specs) - len(reasons), reasons)
        return Enrolment(np.array(added, np.int64), np.array(sorted(updated), np.int64), outcome)

    def table(self, partition: int) -> SiteTable:
        """The partition's specs as columns, as of now."""
        return self._part(partition).table

    def specs(self, partition: int) -> Sequence[SiteSpec]:
        """The partition's specs in row order; not to be changed."""
        return self._part(partition).specs

    def holds(self, spec: SiteSpec) -> bool:
        """Whether the site is enrolled with exactly this spec."""
        address = self.resolve(spec.site)
        return address is not None and self._partitions[address.partition].specs[address.row] == spec

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
        numbers = _numbers(part, row, int(part.table.first_device[row]))
        return SiteAddress(partition, row, dict(zip(names, numbers, strict=True)))

    def _part(self, partition: int) -> _Partition:
        if not 0 <= partition < len(self._partitions):
            raise InvalidInput("partition", partition, f"must lie between 0 and {len(self._partitions) - 1}")
        return self._partitions[partition]

    def refusal(self, partition: int, spec: SiteSpec) -> str | None:
        """Why `enrol` would refuse the spec now; `None` if it would not."""
        try:
            check_spec(spec)
        except InvalidInput as error:
            return str(error)
        home = partition_of(spec.site, self.partitions)
        if home != partition:
            return f"site {spec.site} belongs to partition {home} of {self.partitions}, not {partition}"
        row = self._part(partition).row_of.get(spec.site)
        known = None if row is None else self._part(partition).specs[row]
        if known is not None and _fixed(spec)[: len(known.nameplates())] != _fixed(known):
            had, has = (", ".join(name for name, _ in _fixed(each)) for each in (known, spec))
            return (
                f"site {spec.site} is enrolled with {had}; that can't change to {has}: "
                "add devices after the others, or enrol it under a new id"
            )
        return None

    def _shared(self, spec: SiteSpec) -> SiteSpec:
        """The spec with one copy of its tariff for all sites that have it: a million homes share a few."""
        return msgspec.structs.replace(spec, tariff=self._tariffs.setdefault(spec.tariff, spec.tariff))


def _fixed(spec: SiteSpec) -> list[tuple[str, DeviceKind]]:
    """What of its devices a site keeps for ever."""
    return [(plate.name, plate.kind) for plate in spec.nameplates()]


def _numbers(part: _Partition, row: int, first: int) -> list[int]:
    """The numbers of a site's devices: those of its enrolment from `first` on, and those it got later."""
    later = part.later.get(row, [])
    return [*range(first, first + len(part.specs[row].nameplates()) - len(later)), *later]


def _refresh(
    part: _Partition, added: Sequence[int], updated: Sequence[int], devices: Sequence[_NewDevices]
) -> None:  # fmt: skip
    """Replace the partition's table by one with the new rows and devices at its end and the updated rows rewritten."""
    for row in (*updated, *added):
        part.place_of.setdefault(_place(part.specs[row]), len(part.place_of))
    new = _new_device_columns(part, devices) | _spec_columns([part.specs[row] for row in added], part.place_of)
    columns = {name: np.concatenate((getattr(part.table, name), new[name])) for name in TABLE_COLUMNS}
    if updated:
        for name, values in _spec_columns([part.specs[row] for row in updated], part.place_of).items():
            columns[name][list(updated)] = values
        plates = [plate for row in updated for plate in part.specs[row].nameplates()]
        numbers = [number for row in updated for number in _numbers(part, row, int(columns["first_device"][row]))]
        for name, values in _plate_columns(plates).items():
            columns[name][numbers] = values
    part.table = SiteTable.of(columns, part.place_of)


def _place(spec: SiteSpec) -> Place:
    return Place(spec.region, spec.feeder, spec.path, spec.sets, spec.gateway, spec.provider, spec.firmware)


def _new_device_columns(part: _Partition, devices: Sequence[_NewDevices]) -> dict[str, TableColumn]:
    """What new devices put at the end of the columns, numbered in the order in which they came."""
    number, first, meter = part.table.devices, [], []
    for new in devices:
        if new.first:
            first.append(number)
            meter.append(number + next(i for i, plate in enumerate(new.plates) if plate.kind is DeviceKind.METER))
        else:
            part.later.setdefault(new.row, []).extend(range(number, number + len(new.plates)))
        number += len(new.plates)
    return _plate_columns([plate for new in devices for plate in new.plates]) | {
        "device_site": np.array([new.row for new in devices for _ in new.plates], np.int32),
        "first_device": np.array(first, np.int32),
        "meter_device": np.array(meter, np.int32),
    }


def _plate_columns(plates: Sequence[Nameplate]) -> dict[str, TableColumn]:
    numbers = np.array([plate[2:] for plate in plates], np.float32).reshape(-1, 4).T
    names = ("device_period_s", "device_capacity_kwh", "device_charge_limit_kw", "device_discharge_limit_kw")
    columns: dict[str, TableColumn] = dict(zip(names, numbers, strict=True))
    return columns | {"device_kind": np.array([plate.kind for plate in plates], np.uint8)}


def _rewrite_plates(part: _Partition, columns: dict[str, TableColumn], rows: Sequence[int]) -> None:
    """The nameplates of the devices that these sites had before, as they are now."""
    for row in rows:
        plates, later = part.specs[row].nameplates(), part.later.get(row, [])
        first = int(columns["first_device"][row])
        end = first
        while end < part.table.devices and columns["device_site"][end] == row and end - first < len(plates):
            end += 1
        numbers = [*range(first, end), *later]
        for name, values in _plate_columns(plates[: len(numbers)]).items():
            columns[name][numbers] = values


def _spec_columns(specs: Sequence[SiteSpec], place_of: dict[Place, int]) -> dict[str, TableColumn]:
    rows = np.array([_spec_row(spec) for spec in specs], np.float64).reshape(-1, len(_SPEC_COLUMNS))
    columns: dict[str, TableColumn] = dict(zip(_SPEC_COLUMNS, rows.T, strict=True))
    return columns | {"place": np.array([place_of[_place(spec)] for spec in specs], np.int32)}


_SPEC_COLUMNS = (
    "capacity_kwh",
    "charge_limit_kw",
    "discharge_limit_kw",
    "charge_efficiency_ratio",
    "discharge_efficiency_ratio",
    "reserve_kwh",
    "import_limit_kw",
    "export_limit_kw",
)


def _spec_row(spec: SiteSpec) -> tuple[float, ...]:
    limits = (spec.import_limit_kw, spec.export_limit_kw)
    battery = spec.storage
    if battery is None:
        return (0.0, 0.0, 0.0, 1.0, 1.0, 0.0, *limits)
    return (
        battery.capacity_kwh,
        battery.charge_limit_kw,
        battery.discharge_limit_kw,
        battery.charge_efficiency_ratio,
        battery.discharge_efficiency_ratio,
        battery.reserve_ratio * battery.capacity_kwh,
        *limits,
    )
