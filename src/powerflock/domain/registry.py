"""Who is enrolled: a fold of registry events into rows of sites and dense device numbers, partition by partition.

Invariants: rows and device numbers are given in the order of enrolment and never move or disappear; a site's devices
are its battery, its solar and its meter, in that order; the same events in the same order give the same numbers. The
tables handed out are never changed afterwards. Must not know where the events are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from powerflock.domain.arrays import F64, I32, I64, U8
from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput, NotFound
from powerflock.domain.ids import partition_of
from powerflock.domain.outcomes import Outcome
from powerflock.domain.site import SiteSpec, Tariff, check_spec

ABSENT = -1
"""The device number of a device that a site does not have."""


class Place(NamedTuple):
    """Where in the network a site is connected."""

    region: str
    feeder: str


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
    """One partition's specs as columns: (S,) by site row, (D,) by device number; -1 for a device that is absent.

    A site without a battery has capacity and limits of exactly 0 kWh and 0 kW. Shares one entry of `places` per feeder.
    """

    battery_device: I32
    solar_device: I32
    meter_device: I32
    device_site: I32
    device_kind: U8
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

    @staticmethod
    def empty() -> SiteTable:
        """A partition without sites."""
        return SiteTable.of({name: np.empty(0, dtype) for name, dtype in TABLE_COLUMNS.items()}, ())

    @staticmethod
    def of(columns: Mapping[str, TableColumn], places: Iterable[Place]) -> SiteTable:
        """A table of the `columns` named in `TABLE_COLUMNS`, cast to their dtypes."""
        cast = {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in TABLE_COLUMNS.items()}
        return SiteTable(**cast, places=tuple(places))


TableColumn: TypeAlias = I32 | U8 | F64
_DTYPES = {"I32": "<i4", "U8": "|u1", "F64": "<f8"}
TABLE_COLUMNS = {item.name: _DTYPES[str(item.type)] for item in fields(SiteTable) if item.name != "places"}
"""Name and dtype of each of the table's columns, in order."""


class _Partition:
    def __init__(self) -> None:
        self.specs: list[SiteSpec] = []
        self.row_of: dict[str, int] = {}
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

        A spec that is out of bounds, of another partition, or that adds or removes a device of a known site is refused
        with its reason; the others are applied all the same.
        """
        part = self._part(partition)
        added: list[int] = []
        updated: set[int] = set()
        reasons: dict[str, str] = {}
        for spec in specs:
            row = part.row_of.get(spec.site)
            known = None if row is None else part.specs[row]
            reason = self.refusal(partition, spec)
            if reason is not None:
                reasons[spec.site] = reason
            elif row is None:
                part.row_of[spec.site] = len(part.specs)
                added.append(len(part.specs))
                part.specs.append(self._shared(spec))
            elif spec != known:
                part.specs[row] = self._shared(spec)
                updated.add(row)
        updated.difference_update(added)
        _refresh(part, added, sorted(updated))
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
        table = part.table
        numbers = (table.battery_device[row], table.solar_device[row], table.meter_device[row])
        devices = {kind.wire: int(number) for kind, number in zip(DeviceKind, numbers, strict=True) if number != ABSENT}
        return SiteAddress(partition, row, devices)

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
        if known is not None and _kinds(known) != _kinds(spec):
            had, has = (", ".join(kind.wire for kind in _kinds(each)) for each in (known, spec))
            return f"site {spec.site} is enrolled with {had}; that can't change to {has}: enrol it under a new id"
        return None

    def _shared(self, spec: SiteSpec) -> SiteSpec:
        """The spec with one copy of its tariff for all sites that have it: a million homes share a few."""
        return msgspec.structs.replace(spec, tariff=self._tariffs.setdefault(spec.tariff, spec.tariff))


def _kinds(spec: SiteSpec) -> tuple[DeviceKind, ...]:
    present = (spec.battery is not None, spec.solar_kw > 0, True)
    return tuple(kind for kind, has in zip(DeviceKind, present, strict=True) if has)


def _refresh(part: _Partition, added: Sequence[int], updated: Sequence[int]) -> None:
    """Replace the partition's table by one with the added rows at its end and the updated rows rewritten."""
    if not added and not updated:
        return
    for row in (*updated, *added):
        part.place_of.setdefault(_place(part.specs[row]), len(part.place_of))
    fresh = [part.specs[row] for row in added]
    new = _device_columns(fresh, part.table.sites, part.table.devices) | _spec_columns(fresh, part.place_of)
    columns = {name: np.concatenate((getattr(part.table, name), new[name])) for name in TABLE_COLUMNS}
    if updated:
        for name, values in _spec_columns([part.specs[row] for row in updated], part.place_of).items():
            columns[name][list(updated)] = values
    part.table = SiteTable.of(columns, part.place_of)


def _place(spec: SiteSpec) -> Place:
    return Place(spec.region, spec.feeder)


def _device_columns(specs: Sequence[SiteSpec], first_site: int, first_device: int) -> dict[str, TableColumn]:
    has = np.array([[kind in _kinds(spec) for kind in DeviceKind] for spec in specs], bool).reshape(-1, len(DeviceKind))
    numbers = np.where(has, first_device + np.cumsum(has.ravel()).reshape(has.shape) - 1, ABSENT).astype(np.int32)
    site, kind = np.nonzero(has)
    return {
        "battery_device": numbers[:, DeviceKind.BATTERY],
        "solar_device": numbers[:, DeviceKind.SOLAR],
        "meter_device": numbers[:, DeviceKind.METER],
        "device_site": (first_site + site).astype(np.int32),
        "device_kind": kind.astype(np.uint8),
    }


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
    if spec.battery is None:
        return (0.0, 0.0, 0.0, 1.0, 1.0, 0.0, *limits)
    battery = spec.battery
    return (
        battery.capacity_kwh,
        battery.charge_limit_kw,
        battery.discharge_limit_kw,
        battery.charge_efficiency_ratio,
        battery.discharge_efficiency_ratio,
        battery.reserve_ratio * battery.capacity_kwh,
        *limits,
    )
