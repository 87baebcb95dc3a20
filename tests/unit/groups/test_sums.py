"""A group's figures are its sites' figures, with what is unknown left out and counted."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.columns import DeviceKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import SiteTable
from powerflock.groups.capacity import up_down
from powerflock.groups.curves import curve_table
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.sums import GroupTable, add, group_sums
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.estimate import EstimateSettings, SiteColumns, observe
from tests.unit.groups.joined import joined
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of

SETTINGS = EstimateSettings()
power = st.one_of(st.just(math.nan), st.floats(-9.0, 9.0, width=16))
a_site = st.tuples(st.integers(0, 3), st.integers(0, 1), st.booleans(), power, power, power, st.integers(0, 400))
SiteDraw = tuple[int, int, bool, float, float, float, int]


def build(sites: list[SiteDraw], prefix: str = "s") -> tuple[SiteTable, SiteColumns]:
    specs = [
        home(f"{prefix}{i}", battery=battery, solar_kw=0.0, feeder=f"f{feeder}", region=f"R{region}")
        for i, (feeder, region, battery, *_) in enumerate(sites)
    ]
    table = table_of(specs)
    twins = Shard.of(table)
    for row, (_, _, battery, meter_kw, battery_kw, stored_kwh, age_s) in enumerate(sites):
        then = NOW_US - age_s * MICROS_PER_S
        rows = [reading(int(table.meter_device[row]), 1, meter_kw, 0.0, time_us=then)]
        if battery:
            rows.append(
                reading(int(table.first_of(DeviceKind.BATTERY)[row]), 1, battery_kw, abs(stored_kwh), time_us=then)
            )
        step(twins, batch_of(*rows), NOW_US)
    return table, observe(twins, NOW_US, SETTINGS)


def doubt(columns: SiteColumns, rows: list[int]) -> float:
    """Own doubts in squares, the common part of each straight."""
    own = sum((1 - columns.common_ratio) * columns.meter_std_kw[row] ** 2 for row in rows)
    return math.sqrt(own + sum(math.sqrt(columns.common_ratio) * columns.meter_std_kw[row] for row in rows) ** 2)


def naive(tree: Hierarchy, columns: SiteColumns, group: str) -> dict[str, float]:
    """The group's figures by walking its sites one by one."""
    path = group.split("/") if group != "portfolio" else []
    rows = [row for row, at in enumerate(tree.feeder_of_site[0]) if tree.names[at].split("/")[: len(path)] == path]
    known = [row for row in rows if not math.isnan(columns.meter_kw[row])]
    packs = [row for row in rows if columns.table.capacity_kwh[row] > 0]
    energised = [row for row in packs if not math.isnan(columns.stored_kwh[row])]
    up, down = up_down(columns)
    return {
        "sites": len(rows),
        "fresh": sum(columns.freshness[row] == 0 for row in rows),
        "stale": sum(columns.freshness[row] == 1 for row in rows),
        "silent": sum(columns.freshness[row] == 2 for row in rows),
        "power_kw": sum(columns.meter_kw[row] for row in known) if known or not rows else math.nan,
        "std_kw": doubt(columns, known) if known or not rows else math.nan,
        "stored_kwh": sum(columns.stored_kwh[row] for row in energised) if energised or not packs else math.nan,
        "capacity_kwh": sum(columns.capacity_kwh[row] for row in energised),
        "up_kw": sum(up[row] for row in rows if not math.isnan(up[row])),
        "down_kw": sum(down[row] for row in rows if not math.isnan(down[row])),
    }


@given(st.lists(a_site, max_size=12))
def test_every_group_is_the_sum_of_its_sites(sites: list[SiteDraw]) -> None:
    table, columns = build(sites)
    tree = Hierarchy.of([table])
    sums = group_sums(tree, columns)
    for group, name in enumerate(tree.names):
        for figure, expected in naive(tree, columns, name).items():
            found = getattr(sums, figure)[group]
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-9, nan_ok=True), f"{name} {figure}"


@given(st.lists(a_site, max_size=6), st.lists(a_site, max_size=6))
def test_the_partitions_tables_add_up_to_the_whole(left: list[SiteDraw], right: list[SiteDraw]) -> None:
    (table_a, part_a), (table_b, part_b), (table, whole) = build(left, "a"), build(right, "b"), build(left + right)
    split, joint = Hierarchy.of([table_a, table_b]), Hierarchy.of([table])
    parts = add([group_sums(split, part_a, 0), group_sums(split, part_b, 1)])
    expected = group_sums(joint, whole)
    order = [joint.names.index(name) for name in split.names]
    for item in fields(GroupTable)[:-2]:
        np.testing.assert_allclose(getattr(parts, item.name), getattr(expected, item.name)[order], atol=1e-9)
    np.testing.assert_allclose(parts.power_kw, expected.power_kw[order], atol=1e-9)


def test_unknown_is_never_summed_as_zero() -> None:
    table, columns = build([(0, 0, True, math.nan, math.nan, math.nan, 0), (1, 0, True, 3.0, 1.0, 5.0, 0)])
    tree = Hierarchy.of([table])
    sums = group_sums(tree, columns)
    by_name = {name: group for group, name in enumerate(tree.names)}
    assert math.isnan(sums.power_kw[by_name["R0/f0"]])
    assert math.isnan(sums.stored_kwh[by_name["R0/f0"]])
    assert sums.power_kw[by_name["portfolio"]] == 3.0
    assert sums.coverage_ratio[by_name["portfolio"]] == 0.5
    assert sums.coverage_kw_ratio[by_name["R0/f0"]] == 0.0
    assert (sums.known[0], sums.energy_known[0], sums.batteries[0]) == (1, 1, 2)


def test_a_silent_site_still_flows_in_the_total_with_doubt() -> None:
    table, columns = build([(0, 0, True, 3.0, 1.0, 5.0, 0), (0, 0, True, 2.0, 1.0, 5.0, 400)])
    sums = group_sums(Hierarchy.of([table]), columns)
    assert sums.power_kw[0] == 5.0
    assert sums.std_kw[0] > 0.0
    assert (sums.fresh[0], sums.silent[0]) == (1, 1)
    assert sums.up_kw[0] == pytest.approx(up_down(columns)[0][0])


def test_a_plant_without_sites_sums_to_nothing() -> None:
    tree = Hierarchy.of([SiteTable.empty()])
    sums = group_sums(tree, observe(Shard.empty(), NOW_US, SETTINGS))
    assert (sums.power_kw[0], sums.stored_kwh[0]) == (0.0, 0.0)
    assert math.isnan(sums.coverage_ratio[0])
    assert curve_table(tree, np.empty((0, 3), np.float32)).offers_kw.tolist() == [[0.0, 0.0, 0.0]]


def test_columns_of_another_size_are_refused() -> None:
    table, columns = build([(0, 0, True, 3.0, 1.0, 5.0, 0)])
    with pytest.raises(InvalidInput, match="must be the hierarchy's 0"):
        group_sums(Hierarchy.of([SiteTable.empty()]), columns)
    with pytest.raises(InvalidInput, match="partition is 1"):
        group_sums(Hierarchy.of([table]), columns, 1)
    with pytest.raises(InvalidInput, match="group tables"):
        add([])


def test_tables_of_two_hierarchies_do_not_add() -> None:
    table, columns = build([(0, 0, True, 3.0, 1.0, 5.0, 0)])
    early = Hierarchy.of([table])
    late = early.grow([build([(0, 0, True, 3.0, 1.0, 5.0, 0), (1, 0, True, 2.0, 1.0, 5.0, 0)])[0]])
    both = [group_sums(early, columns), GroupTable(*(np.zeros(late.groups) for _ in fields(GroupTable)))]
    with pytest.raises(InvalidInput, match="of one hierarchy"):
        add(both)


curves = st.lists(st.lists(power, min_size=3, max_size=3), min_size=1, max_size=8)


@given(curves, st.data())
def test_curves_sum_by_group_and_partition(offers: list[list[float]], data: st.DataObject) -> None:
    feeders = data.draw(st.lists(st.integers(0, 2), min_size=len(offers), max_size=len(offers)))
    cut = data.draw(st.integers(0, len(offers)))
    rows = np.array(offers, np.float32)
    tables = [
        table_of([home(f"s{i}", feeder=f"f{feeders[i]}") for i in part])
        for part in (range(cut), range(cut, len(offers)))
    ]
    tree = Hierarchy.of(tables)
    whole = joined(curve_table(tree, rows[:cut], 0), curve_table(tree, rows[cut:], 1))
    for group, name in enumerate(tree.names):
        mine = [i for i, feeder in enumerate(feeders) if name in {"portfolio", "VIC1", f"VIC1/f{feeder}"}]
        known = [rows[i] for i in mine if not np.isnan(rows[i]).any()]
        expected = np.sum(known, axis=0, dtype=np.float64) if known else np.full(3, math.nan)
        np.testing.assert_allclose(whole.offers_kw[group], expected, atol=1e-9)
        assert (whole.sites[group], whole.known[group]) == (len(mine), len(known))
