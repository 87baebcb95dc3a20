"""What enrolling does, decided before anybody knows of it: rows, device numbers and the events that say so.

Invariants: an event says in which row a site is, which numbers its devices have and all that is known of it, so events
may be read twice, and of one site the newest is enough. A site keeps its row and its devices' numbers for ever; those
it gets later come after all others. Events of a partition are numbered 1, 2, 3, …. Must not know where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, fields

from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput, LogError
from powerflock.domain.ids import partition_of
from powerflock.domain.site import SiteSpec, Tariff, check_spec

TOPIC = "registry"
"""The log topic of the events, by partition."""


class SiteChange(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Event `number` of a partition: the site's row, its devices' numbers in the order of nameplates, and its spec."""

    number: int
    row: int
    devices: tuple[int, ...]
    spec: SiteSpec


class RegistryEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the topic. Before format 2 an entry was a bare list of specs, numbered by whoever read it."""

    format: Literal[2]
    changes: tuple[SiteChange, ...]


Entry: TypeAlias = RegistryEntry | list[SiteSpec]


class Standing(NamedTuple):
    """Where an enrolled site is, and as what."""

    row: int
    devices: tuple[int, ...]
    spec: SiteSpec


class Ends(NamedTuple):
    """What comes next in a partition: the first free row and device number, and the next event's number."""

    row: int = 0
    device: int = 0
    number: int = 1


class Decision(NamedTuple):
    """Events of the sites that are new or changed, the reason for each site refused, and the ends afterwards."""

    changes: list[SiteChange]
    reasons: dict[str, str]
    ends: Ends


def decide(
    partition: int, partitions: int, specs: Sequence[SiteSpec], standing: Mapping[str, Standing], ends: Ends
) -> Decision:
    """What enrolling `specs` in `partition` of `partitions` does; `standing` holds those of them that are known.

    Equal specs change nothing. A spec that is out of bounds, of another partition, or that removes a device of a known
    site or puts one before others is refused with its reason; the others are applied all the same.
    """
    known = {spec.site: standing[spec.site] for spec in specs if spec.site in standing}
    changes: list[SiteChange] = []
    reasons: dict[str, str] = {}
    row, device, number = ends
    for spec in specs:
        was = known.get(spec.site)
        reason = refusal(partition, partitions, spec, None if was is None else was.spec)
        if reason is not None:
            reasons[spec.site] = reason
        if reason is not None or (was is not None and was.spec == spec):
            continue
        had = () if was is None else was.devices
        more = spec.device_count - len(had)
        now = Standing(row if was is None else was.row, (*had, *range(device, device + more)), spec)
        changes.append(SiteChange(number, *now))
        known[spec.site] = now
        row, device, number = row + (was is None), device + more, number + 1
    return Decision(changes, reasons, Ends(row, device, number))


def refusal(partition: int, partitions: int, spec: SiteSpec, known: SiteSpec | None) -> str | None:
    """Why a spec cannot be enrolled where the site is `known` so far (None: not at all); `None` if it can."""
    try:
        check_spec(spec)
    except InvalidInput as error:
        return str(error)
    home = partition_of(spec.site, partitions)
    if home != partition:
        return f"site {spec.site} belongs to partition {home} of {partitions}, not {partition}"
    if known is not None and _fixed(spec)[: len(known.nameplates())] != _fixed(known):
        had, has = (", ".join(name for name, _ in _fixed(each)) for each in (known, spec))
        return (
            f"site {spec.site} is enrolled with {had}; that can't change to {has}: "
            "add devices after the others, or enrol it under a new id"
        )
    return None


def _fixed(spec: SiteSpec) -> list[tuple[str, DeviceKind]]:
    """What of its devices a site keeps for ever."""
    return [(plate.name, plate.kind) for plate in spec.nameplates()]


def encode_changes(changes: Sequence[SiteChange]) -> bytes:
    """The topic's entry that says `changes`."""
    return msgspec.msgpack.encode(RegistryEntry(2, tuple(changes)))


def decode_entry(payload: bytes, tariffs: dict[bytes, Tariff]) -> Entry:
    """An entry of the topic in any format that was ever written; `LogError` for anything else.

    `tariffs` are those decoded before, by their bytes, and get those that are new: most of an entry is its sites' 96
    prices each, and a million sites share a few tariffs.
    """
    try:
        entry = _ENTRY.decode(payload)
        if isinstance(entry, list):
            return entry
        return RegistryEntry(2, tuple(_change(tariffs, *astuple(change)) for change in astuple(entry)[1]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"an entry of the registry topic cannot be read: {error}. It is damaged, or of a newer version."
        raise LogError(msg) from error


def _change(tariffs: dict[bytes, Tariff], number: int, row: int, devices: tuple[int, ...], spec: Struct) -> SiteChange:
    """The change whose `spec` has its tariff as bytes."""
    values = list(astuple(spec))
    raw = bytes(values[_TARIFF])
    tariff = tariffs.get(raw)
    if tariff is None:
        try:
            tariff = tariffs[raw] = _TARIFF_BYTES.decode(raw)
        except msgspec.DecodeError as error:
            raise msgspec.DecodeError(f"{error} - in the tariff of site {values[0]}, event {number}") from error
    values[_TARIFF] = tariff
    return SiteChange(number, row, devices, SiteSpec(*values))


def _with(struct: type[Struct], name: str, kind: object) -> type[Struct]:
    """As `struct`, but what is in field `name` is a `kind`."""
    own = [(field.name, kind if field.name == name else field.type, field) for field in fields(struct)]
    made = [(name, kind) if field.required else (name, kind, field.default) for name, kind, field in own]
    return msgspec.defstruct(f"Raw{struct.__name__}", made, frozen=True, forbid_unknown_fields=True, gc=False)


_TARIFF_BYTES = msgspec.msgpack.Decoder(Tariff)
_TARIFF = SiteSpec.__struct_fields__.index("tariff")
_RAW_CHANGE = _with(SiteChange, "spec", _with(SiteSpec, "tariff", msgspec.Raw))
_RAW_ENTRY = _with(RegistryEntry, "changes", tuple[_RAW_CHANGE, ...])  # type: ignore[valid-type]
_ENTRY: msgspec.msgpack.Decoder[Struct | list[SiteSpec]] = msgspec.msgpack.Decoder(_RAW_ENTRY | list[SiteSpec])
