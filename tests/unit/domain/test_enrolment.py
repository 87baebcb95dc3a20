"""Registry events may be repeated, reordered and compacted, and those of earlier versions stay readable."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerflock.domain.enrolment import RegistryEntry, SiteChange, decode_entry, encode_changes
from powerflock.domain.errors import InconsistentRegistry, LogError
from powerflock.domain.registry import TABLE_COLUMNS, Registry
from powerflock.domain.site import BatterySpec, DeviceSpec, SiteSpec, Tariff
from tests.data import ROOT

GOLDEN = ROOT / "tests" / "golden"
FLAT = Tariff("flat", (0.3,) * 48, (0.05,) * 48)
CAR = DeviceSpec("car", "ev_charger", rated_kw=7.4, report_period_s=60.0)


def home(site: str, *, cars: int = 0, feeder: str = "f1") -> SiteSpec:
    devices = tuple(msgspec.structs.replace(CAR, name=f"car-{number}") for number in range(cars))
    return SiteSpec(site, feeder, "VIC1", FLAT, BatterySpec(10.0, 5.0, 4.0), devices=devices)


def history(seed: int, sites: int) -> tuple[Registry, list[SiteChange]]:
    """A registry after many enrolments and changes, and all of its events."""
    chance, registry, events = random.Random(seed), Registry(1), list[SiteChange]()
    cars = dict.fromkeys(range(sites), 0)
    for _ in range(3 * sites):
        site = chance.randrange(sites)
        cars[site] += chance.randrange(2)
        decision = registry.decide(0, [home(f"s{site}", cars=cars[site], feeder=f"f{chance.randrange(3)}")])
        events += decision.changes
        registry.apply(0, decision.changes)
    return registry, events


def assert_same(found: Registry, wanted: Registry) -> None:
    assert found.standing(0) == wanted.standing(0)
    assert found.ends(0) == wanted.ends(0)
    assert found.waiting(0) == 0
    ours, theirs = found.table(0), wanted.table(0)
    for name in TABLE_COLUMNS:
        if name != "place":
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert [ours.places[row] for row in ours.place] == [theirs.places[row] for row in theirs.place]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 9))
def test_a_topic_compacted_to_the_newest_event_of_each_site_gives_the_same_registry(seed: int, batch: int) -> None:
    wanted, events = history(seed, 8)
    newest = {change.spec.site: change for change in events}
    kept = [change for change in events if newest[change.spec.site] is change]
    found = Registry(1)
    found.replay(0, [encode_changes(kept[start : start + batch]) for start in range(0, len(kept), batch)])
    assert_same(found, wanted)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_events_delivered_again_and_out_of_order_give_the_same_registry(seed: int) -> None:
    wanted, events = history(seed, 6)
    chance = random.Random(seed)
    jumbled = [*events, *chance.choices(events, k=5)]
    chance.shuffle(jumbled)
    found = Registry(1)
    for change in jumbled:
        found.apply(0, [change])
    assert_same(found, wanted)


def test_what_would_leave_a_gap_waits_and_is_not_shown() -> None:
    registry = Registry(1)
    early, *later = registry.decide(0, [home(f"s{number}") for number in range(4)]).changes
    assert not registry.apply(0, later)
    assert (registry.sites, registry.waiting(0)) == (0, len(later))
    assert registry.apply(0, [early]).added.tolist() == [0, 1, 2, 3]


def test_entries_of_the_first_format_stay_readable() -> None:
    payload = (GOLDEN / "registry-v1.msgpack").read_bytes()
    registry = Registry(1)
    assert registry.replay(0, [payload, payload]).added.tolist() == [0, 1]
    assert [spec.site for spec in registry.specs(0)] == ["a", "b"]
    assert registry.table(0).device_kind.tolist() == [0, 1, 2, 2, 3]
    assert registry.spec("b").provider == "telco"


def test_entries_of_this_format_are_written_as_they_always_were() -> None:
    payload = (GOLDEN / "registry-v2.msgpack").read_bytes()
    entry = decode_entry(payload, {})
    assert isinstance(entry, RegistryEntry)
    assert encode_changes(entry.changes) == payload
    registry = Registry(1)
    registry.replay(0, [payload])
    again = registry.resolve("a")
    assert again is not None
    assert again.devices == {"battery": 0, "meter": 1, "car-0": 4}
    assert registry.ends(0) == (2, 5, 4)


def test_sites_of_one_tariff_share_it_however_many_entries_tell_it() -> None:
    payloads = [encode_changes([change]) for change in Registry(1).decide(0, [home("a"), home("b")]).changes]
    tariffs: dict[bytes, Tariff] = {}
    entries = [decode_entry(payload, tariffs) for payload in payloads]
    one, two = (entry.changes[0].spec.tariff for entry in entries if isinstance(entry, RegistryEntry))
    assert one is two
    assert list(tariffs.values()) == [one]


@pytest.mark.parametrize(
    "tariff",
    [None, {"name": "t"}, {"name": "t", "import_per_kwh": [], "export_per_kwh": [], "colour": 1}, "flat"],
)
def test_a_tariff_that_is_none_is_refused_with_its_site_and_event(tariff: object) -> None:
    (change,) = Registry(1).decide(0, [home("a")]).changes
    entry = msgspec.to_builtins(RegistryEntry(2, (change,)))
    entry["changes"][0]["spec"]["tariff"] = tariff
    with pytest.raises(LogError, match="tariff of site a, event 1"):
        decode_entry(msgspec.msgpack.encode(entry), {})


@pytest.mark.parametrize("where", ["spec", "change"])
def test_an_unknown_key_in_an_entry_is_refused(where: str) -> None:
    (change,) = Registry(1).decide(0, [home("a")]).changes
    entry = msgspec.to_builtins(RegistryEntry(2, (change,)))
    (entry["changes"][0]["spec"] if where == "spec" else entry["changes"][0])["colour"] = "blue"
    with pytest.raises(LogError, match="colour"):
        decode_entry(msgspec.msgpack.encode(entry), {})


def test_bytes_of_any_kind_are_refused_as_damage() -> None:
    (change,) = Registry(1).decide(0, [home("a")]).changes
    payload = encode_changes([change])
    name = payload.index(b"\xa4name") + 5
    deep = payload[: payload.index(b"\xa6tariff") + 7] + b"\x91" * 5000
    for bad in (payload[:name] + b"\xa1\xff" + payload[name:], deep, payload[:-1], b"\xc1"):
        with pytest.raises(LogError, match="cannot be read"):
            decode_entry(bad, {})


def test_both_formats_in_one_topic_are_one_history() -> None:
    old, new = Registry(1), Registry(1)
    old.enrol(0, [home("a"), home("b")])
    decision = old.decide(0, [home("a", cars=1), home("c")])
    old.apply(0, decision.changes)
    new.replay(0, [msgspec.msgpack.encode([home("a"), home("b")]), encode_changes(decision.changes)])
    assert_same(new, old)


def test_an_entry_that_is_none_is_named_not_skipped() -> None:
    for payload in (b"", b"\xc1", msgspec.msgpack.encode({"format": 3, "changes": []})):
        with pytest.raises(LogError, match="damaged, or of a newer version"):
            Registry(1).replay(0, [payload])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (SiteChange(9, 0, (0, 1), home("other")), "which is not its own"),
        (SiteChange(9, 1, (2, 3), home("a")), "which is not its own"),
        (SiteChange(9, 0, (5, 6), home("a")), "numbers the devices of site a"),
        (SiteChange(9, 0, (0,), home("a")), "numbers the devices of site a"),
    ],
)
def test_an_event_of_another_plant_is_refused(change: SiteChange, what: str) -> None:
    registry = Registry(1)
    registry.enrol(0, [home("a")])
    with pytest.raises(InconsistentRegistry, match=what):
        registry.apply(0, [change])
