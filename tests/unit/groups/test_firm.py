"""What is promised is met whichever gateway, region, provider or firmware fails."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from powerflock.domain.arrays import F32, F64
from powerflock.domain.site import SiteSpec
from powerflock.groups.curves import CurveTable, curve_table
from powerflock.groups.firm import NONE, firm_capacity, firm_curves, firm_reach
from powerflock.groups.hierarchy import PORTFOLIO, Hierarchy
from powerflock.groups.sums import group_sums
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.estimate import EstimateSettings, observe
from tests.unit.groups.joined import joined
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of

PRICES, ZERO = 5, 2
Draw = tuple[int, int, int, int, F64]
a_site = st.tuples(
    st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1),
    arrays(np.float64, PRICES, elements=st.floats(0.0, 4.0, width=16)),
)  # fmt: skip


def specs_of(sites: list[Draw]) -> list[SiteSpec]:
    """Homes with a region, and a provider and firmware that may be unknown."""
    return [
        msgspec.structs.replace(
            home(f"s{i}", region=f"R{region}", feeder=f"f{feeder}"),
            provider=f"p{provider}" if provider else "",
            firmware=f"v{firmware}",
        )
        for i, (region, provider, feeder, firmware, _) in enumerate(sites)
    ]


def curves_of(sites: list[Draw]) -> F32:
    """Non-increasing curves, about zero in the middle."""
    steps = np.array([steps for *_, steps in sites]).reshape(len(sites), PRICES)
    return np.asarray(4.0 - np.cumsum(steps, axis=1), np.float32)


def failed(sites: list[Draw], rows: list[int], lost: set[int], curves: F32) -> F64:
    """The group's power at each price when the sites `lost` stay at what they do at price 0."""
    known = [np.full(PRICES, curves[row, ZERO]) if row in lost else curves[row] for row in rows]
    return np.asarray(np.sum(known, axis=0, dtype=np.float64))


def cases(sites: list[Draw], rows: list[int]) -> list[set[int]]:
    """Every single failure: all sites of one region, provider or firmware, where the `rows` have several of it."""
    found: list[set[int]] = []
    for kind in (0, 1, 3):
        names = {sites[row][kind] for row in rows} - ({0} if kind == 1 else set())
        if len(names) > 1:
            found += [{row for row in rows if sites[row][kind] == name} for name in names]
    return found


def table_for(sites: list[Draw]) -> tuple[Hierarchy, CurveTable, F32]:
    tree, curves = Hierarchy.of([table_of(specs_of(sites))]), curves_of(sites)
    return tree, curve_table(tree, curves), curves


@given(st.lists(a_site, min_size=1, max_size=9), st.floats(-20.0, 20.0, width=16))
def test_what_is_in_reach_can_be_delivered_while_any_single_class_holds_its_last_command(
    sites: list[Draw], told_kw: float
) -> None:
    tree, table, curves = table_for(sites)
    held = np.float32(told_kw) + np.arange(len(sites), dtype=np.float32)[:, None]
    least, most = firm_reach(tree.failures.pairs, table, curve_table(tree, held).class_kw[:, 0])
    for group in range(tree.groups):
        rows = [row for row, leaf in enumerate(tree.rows_of_site[0][:, 0]) if group in held_by(tree, int(leaf))]
        ends = [
            sum((held[row, 0] if row in lost else curves[row, [-1, 0]]).astype(np.float64) for row in rows)
            + np.zeros(2)
            for lost in cases(sites, rows)
        ]
        expected = [max(low for low, _ in ends), min(high for _, high in ends)] if ends else [-np.inf, np.inf]
        np.testing.assert_allclose([least[group], most[group]], expected, atol=1e-9)


@given(st.lists(a_site, min_size=1, max_size=9))
def test_the_firm_curve_is_met_in_every_single_failure_and_by_no_more_than_needed(sites: list[Draw]) -> None:
    tree, table, curves = table_for(sites)
    firm = firm_curves(tree.failures.pairs, table, ZERO)
    for group in range(tree.groups):
        rows = [row for row, leaf in enumerate(tree.rows_of_site[0][:, 0]) if group in held_by(tree, int(leaf))]
        outcomes = np.array([failed(sites, rows, lost, curves) for lost in [set[int](), *cases(sites, rows)]])
        np.testing.assert_allclose(firm[group, ZERO:], outcomes[:, ZERO:].max(axis=0), atol=1e-9)
        np.testing.assert_allclose(firm[group, : ZERO + 1], outcomes[:, : ZERO + 1].min(axis=0), atol=1e-9)
        assert (np.diff(firm[group]) <= 1e-9).all(), "an offer curve like any other"


def held_by(tree: Hierarchy, leaf: int) -> set[int]:
    return set(tree.leaf_groups[tree.leaf_start[leaf] : tree.leaf_start[leaf + 1]].tolist())


@given(st.lists(a_site, min_size=2, max_size=9), st.integers(1, 8))
def test_the_partitions_curves_add_up_before_the_worst_case_is_taken(sites: list[Draw], cut: int) -> None:
    specs, curves = specs_of(sites), curves_of(sites)
    tree = Hierarchy.of([table_of(specs[:cut]), table_of(specs[cut:])])
    parts = joined(curve_table(tree, curves[:cut], 0), curve_table(tree, curves[cut:], 1))
    whole_tree, whole, _ = table_for(sites)
    firm, expected = firm_curves(tree.failures.pairs, parts, ZERO), firm_curves(whole_tree.failures.pairs, whole, ZERO)
    order = [whole_tree.id_of[name] for name in tree.names]
    np.testing.assert_allclose(firm, expected[order], atol=1e-9)


def test_capacity_that_is_left_names_the_failure_that_costs_most() -> None:
    specs = [
        msgspec.structs.replace(home(f"s{i}", region=f"R{i % 2}"), provider="big" if i < 3 else "small")
        for i in range(4)
    ]
    twins = Shard.of(table_of(specs))
    rows = [reading(3 * site + device, 1, 0.0, 6.0) for site in range(4) for device in range(3)]
    step(twins, batch_of(*rows), NOW_US)
    tree = Hierarchy.of([twins.table])
    sums = group_sums(tree, observe(twins, NOW_US, EstimateSettings()))
    firm = firm_capacity(tree.failures.pairs, sums)
    assert tree.failures.pairs.names[firm.worst[PORTFOLIO]] == "provider:big"
    np.testing.assert_allclose(firm.up_kw[PORTFOLIO], sums.up_kw[PORTFOLIO] / 4)
    assert sums.up_h[PORTFOLIO] == sums.up_kwh[PORTFOLIO] / sums.up_kw[PORTFOLIO] > 0.0


def test_a_plant_with_one_gateway_and_one_region_promises_all_it_has() -> None:
    specs = [msgspec.structs.replace(home(f"s{i}"), gateway="g1") for i in range(3)]
    tree = Hierarchy.of([table_of(specs)])
    assert not tree.failures.pairs.spread.any()
    curves = curves_of([(0, 0, 0, 0, np.full(PRICES, 1.0))] * 3)
    table = curve_table(tree, curves)
    np.testing.assert_array_equal(firm_curves(tree.failures.pairs, table, ZERO), table.sum_kw)
    sums = group_sums(tree, observe(Shard.of(table_of(specs)), NOW_US, EstimateSettings()))
    assert firm_capacity(tree.failures.pairs, sums).worst[PORTFOLIO] == NONE


def test_a_group_of_which_no_curve_is_known_promises_nothing_known() -> None:
    specs = [home("a", region="R1"), home("b", region="R2")]
    tree = Hierarchy.of([table_of(specs)])
    curves = np.array([[np.nan] * PRICES, [2.0, 1.0, 0.0, -1.0, -2.0]], np.float32)
    firm = firm_curves(tree.failures.pairs, curve_table(tree, curves), ZERO)
    assert np.isnan(firm[tree.id_of["R1"]]).all()
    np.testing.assert_array_equal(firm[PORTFOLIO], 0.0)
