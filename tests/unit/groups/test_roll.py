"""Groups that several partitions number by themselves add up by name."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.site import SiteSpec
from powerflock.groups.firm import firm_capacity
from powerflock.groups.hierarchy import Hierarchy
from powerflock.groups.roll import Roll, Union
from powerflock.groups.sums import GroupTable, group_sums
from powerflock.twins.apply import step
from powerflock.twins.columns import Shard
from powerflock.twins.estimate import EstimateSettings, observe
from tests.unit.twins.fleet import NOW_US, batch_of, home, reading, table_of

a_site = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans())


def specs_of(sites: list[tuple[int, int, int, bool]]) -> list[SiteSpec]:
    return [
        msgspec.structs.replace(
            home(f"s{i}", region=f"R{region}", feeder=f"f{feeder}"),
            provider=f"p{provider}" if provider else "",
            sets=("trial",) if trial else (),
        )
        for i, (region, feeder, provider, trial) in enumerate(sites)
    ]


def summed(specs: list[SiteSpec]) -> tuple[Hierarchy, GroupTable]:
    table = table_of(specs)
    shard = Shard.of(table)
    readings = [reading(device, 1, 0.0, 5.0) for device in range(table.devices)]
    step(shard, batch_of(*readings), NOW_US)
    tree = Hierarchy.of([table])
    return tree, group_sums(tree, observe(shard, NOW_US, EstimateSettings()))


@given(st.lists(a_site, min_size=2, max_size=12), st.integers(1, 11))
def test_the_parts_sum_by_name_to_what_one_hierarchy_of_all_would(
    sites: list[tuple[int, int, int, bool]], cut: int
) -> None:
    specs = specs_of(sites)
    parts = [summed(own) for own in (specs[:cut], specs[cut:]) if own]
    union = Union()
    rows = [union.rows(Roll.of(tree)) for tree, _ in parts]
    total = union.add([(own, table) for own, (_, table) in zip(rows, parts, strict=True)])
    for name, group in union.id_of.items():
        members = [(tree, table) for tree, table in parts if name in tree.id_of]
        for item in fields(GroupTable):
            if not item.name.startswith("class_"):
                alone = sum(float(getattr(table, item.name)[tree.id_of[name]]) for tree, table in members)
                np.testing.assert_allclose(getattr(total, item.name)[group], alone, atol=1e-9)
    assert (np.diff(union.pairs.group) >= 0).all(), "pairs come group by group"
    lost: dict[tuple[str, str], float] = {}
    for tree, table in parts:
        pairs = tree.failures.pairs
        for group, cls, up_kw in zip(pairs.group.tolist(), pairs.cls.tolist(), table.class_up_kw.tolist(), strict=True):
            key = tree.names[group], pairs.names[cls]
            lost[key] = lost.get(key, 0.0) + up_kw
    found = {
        (union.names[group], union.pairs.names[cls]): up_kw
        for group, cls, up_kw in zip(
            union.pairs.group.tolist(), union.pairs.cls.tolist(), total.class_up_kw.tolist(), strict=True
        )
    }
    assert found.keys() == lost.keys()
    np.testing.assert_allclose([found[key] for key in lost], list(lost.values()), atol=1e-9)


def test_a_class_that_is_alone_in_each_partition_counts_where_together_they_are_several() -> None:
    parts = [
        summed([msgspec.structs.replace(home(name), provider=provider)]) for name, provider in (("a", "x"), ("b", "y"))
    ]
    assert not any(tree.failures.pairs.spread.any() for tree, _ in parts)
    union = Union()
    rows = [union.rows(Roll.of(tree)) for tree, _ in parts]
    total = union.add([(own, table) for own, (_, table) in zip(rows, parts, strict=True)])
    firm = firm_capacity(union.pairs, total)
    assert 0.0 < firm.up_kw[0] < total.up_kw[0]


def test_the_same_roll_is_numbered_once_and_ids_never_move() -> None:
    first, second = (summed(specs_of([(region, 0, 0, False)]))[0] for region in (0, 1))
    union = Union()
    before = union.rows(Roll.of(first)).groups.tolist()
    union.rows(Roll.of(second))
    assert union.rows(Roll.of(first)).groups.tolist() == before == [0, 1, 2]
    assert union.names == ["portfolio", "R0", "R0/f0", "R1", "R1/f0"]
    assert union.parents == [-1, 0, 1, 0, 3]
