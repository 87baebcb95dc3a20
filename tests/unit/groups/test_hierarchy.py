"""Groups keep their ids while the fleet grows, whatever the order of its sites."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np

from powerflock.domain.registry import Registry, SiteTable
from powerflock.groups.hierarchy import PORTFOLIO, Hierarchy, Level
from tests.unit.twins.fleet import home, table_of

FIRST = [home("a", feeder="f1", region="VIC1"), home("b", feeder="f2", region="NSW1"), home("c", feeder="f1")]


def test_feeders_hang_in_regions_and_regions_in_the_portfolio() -> None:
    tree = Hierarchy.of([table_of(FIRST)])
    assert tree.names == ("portfolio", "VIC1", "VIC1/f1", "NSW1", "NSW1/f2")
    assert tree.parent.tolist() == [-1, PORTFOLIO, 1, PORTFOLIO, 3]
    assert tree.level.tolist() == [Level.PORTFOLIO, Level.REGION, Level.FEEDER, Level.REGION, Level.FEEDER]
    assert tree.feeder_of_site[0].tolist() == [2, 4, 2]


def test_ids_stay_when_the_fleet_grows() -> None:
    tree = Hierarchy.of([table_of(FIRST), SiteTable.empty()])
    grown = tree.grow([table_of([*FIRST, home("d", feeder="f9")]), table_of([home("e", feeder="f2", region="NSW1")])])
    assert grown.names[: tree.groups] == tree.names
    assert grown.names[tree.groups :] == ("VIC1/f9",)
    assert [grown.names[i] for i in grown.feeder_of_site[0]] == ["VIC1/f1", "NSW1/f2", "VIC1/f1", "VIC1/f9"]
    assert [grown.names[i] for i in grown.feeder_of_site[1]] == ["NSW1/f2"]


def test_feeders_of_one_name_in_two_regions_are_two_groups() -> None:
    tree = Hierarchy.of([table_of([home("a", region="VIC1"), home("b", region="NSW1")])])
    assert len(set(tree.feeder_of_site[0].tolist())) == 2


def test_a_slash_in_a_name_does_not_confuse_groups() -> None:
    sites = [home("a", region="x/y", feeder="z"), home("b", region="x", feeder="y/z"), home("c", region="x/y/z")]
    tree = Hierarchy.of([table_of(sites)])
    assert len(set(tree.feeder_of_site[0].tolist())) == 3
    assert len(set(tree.names)) == tree.groups


def test_a_plant_without_sites_has_its_portfolio() -> None:
    assert Hierarchy.of([SiteTable.empty()]).names == ("portfolio",)


def test_a_tree_may_have_any_depth_and_sets_cut_across_it() -> None:
    deep = msgspec.structs.replace(home("a"), path=("north", "sub 3"), sets=("trial", "tariff:b"))
    tree = Hierarchy.of([table_of([deep, msgspec.structs.replace(home("b", region="NSW1"), sets=("trial",))])])
    assert tree.names[:5] == ("portfolio", "VIC1", "VIC1/north", "VIC1/north/sub 3", "VIC1/north/sub 3/f1")
    assert tree.depth[:5].tolist() == [0, 1, 2, 3, 4]
    assert tree.level[2:5].tolist() == [Level.AREA, Level.AREA, Level.FEEDER]
    trial = tree.id_of["set:trial"]
    assert (tree.level[trial], tree.parent[trial]) == (Level.SET, -1)
    held = [set(tree.leaf_groups[a:b].tolist()) for a, b in pairwise(tree.leaf_start.tolist())]
    assert [trial in groups for groups in held] == [True, True]
    assert tree.id_of["set:tariff%3Ab"] in held[0] - held[1]


def test_a_site_that_moves_is_counted_where_it_is_now() -> None:
    registry = Registry.empty(1)
    registry.enrol(0, [home("a"), home("b")])
    tree = Hierarchy.of([registry.table(0)])
    registry.enrol(0, [msgspec.structs.replace(home("a", feeder="f2"), sets=("trial",))])
    moved = tree.grow([registry.table(0)])
    assert [moved.names[group] for group in moved.feeder_of_site[0]] == ["VIC1/f2", "VIC1/f1"]
    assert moved.names[: tree.groups] == tree.names


def test_a_feeder_named_like_an_area_is_a_group_of_its_own() -> None:
    tree = Hierarchy.of([table_of([msgspec.structs.replace(home("a"), path=("f1",)), home("b")])])
    assert len(set(tree.feeder_of_site[0].tolist())) == 2


def test_cells_have_every_site_once_with_the_sites_that_share_its_sums_leaf_by_leaf() -> None:
    sites = [home(f"s{i}", feeder=f"f{i % 3}") for i in range(8)]
    far = [msgspec.structs.replace(site, gateway=f"g{i % 2}") for i, site in enumerate(sites)]
    for tree in (Hierarchy.of([table_of(sites), table_of(far)]), Hierarchy.of([table_of(far), SiteTable.empty()])):
        for cells, rows in zip(tree.cells, tree.rows_of_site, strict=True):
            assert sorted(cells.sites.tolist()) == list(range(rows.shape[0]))
            lengths = np.diff(cells.start)
            np.testing.assert_array_equal(rows[cells.sites], np.repeat(cells.rows, lengths, axis=0))
            assert (np.diff(cells.rows[:, 0]) >= 0).all()
