"""Whoever looks for sites finds them all, in the order asked for, page by page."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerflock.domain.errors import InvalidInput
from powerflock.twins.query import BY_SITE, Bound, Cursor, Hit, Order, Part, SiteIds, first_page

value = st.one_of(st.just(math.nan), st.integers(-3, 3).map(float))
sites = st.lists(st.tuples(value, st.booleans()), max_size=25)


def parts_of(rows: list[tuple[float, bool]], partitions: int) -> list[Part]:
    """Sites `s0`, `s1`, … dealt to the partitions, the highest number first."""
    parts = []
    for part in range(partitions):
        own = [(f"s{i}", *row) for i, row in enumerate(rows) if i % partitions == part][::-1]
        columns = {"power_kw": np.array([power for _, power, _ in own])}
        parts.append(Part(SiteIds.of([site for site, *_ in own]), columns, np.array([ok for *_, ok in own], bool)))
    return parts


def naive(rows: list[tuple[float, bool]], order: Order, low: float) -> list[str]:
    found = [(power, f"s{i}") for i, (power, ok) in enumerate(rows) if ok and power >= low]
    if low == -math.inf:
        found = [(power, f"s{i}") for i, (power, ok) in enumerate(rows) if ok]
    sign = -1.0 if order.descending else 1.0
    if order.column == BY_SITE:
        return sorted((site for _, site in found), reverse=order.descending)
    known = sorted((sign * power, site) for power, site in found if not math.isnan(power))
    return [site for _, site in known] + sorted(site for power, site in found if math.isnan(power))


@given(
    sites, st.integers(1, 3), st.integers(1, 7), st.booleans(), st.sampled_from([BY_SITE, "power_kw"]), st.booleans()
)
def test_all_pages_together_are_the_whole_answer(
    rows: list[tuple[float, bool]], partitions: int, limit: int, descending: bool, column: str, bounded: bool
) -> None:
    parts, order = parts_of(rows, partitions), Order(column, descending)
    bounds = [Bound("power_kw", -1.0, math.inf)] if bounded else []
    expected = naive(rows, order, -1.0 if bounded else -math.inf)
    met: list[Hit] = []
    cursor: Cursor | None = None
    for _ in range(len(rows) + 1):
        page = first_page(parts, bounds, order, limit, cursor)
        assert page.total == len(expected)
        assert len(page.hits) <= limit
        met += page.hits
        cursor = page.cursor
        if cursor is None:
            break
    assert [hit.site for hit in met] == expected
    for hit in met:
        assert parts[hit.partition].ids.text[hit.row].as_py() == hit.site


def test_search_finds_parts_of_ids_whatever_their_case() -> None:
    ids = SiteIds.of(["Home-2", "home-10", "flat"])
    assert ids.containing("HOME").tolist() == [True, True, False]
    assert ids.rank.tolist() == [0, 2, 1]


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="column is 'colour'; must be one of power_kw"):
        first_page(parts_of([(1.0, True)], 1), [], Order("colour"), 5)


@pytest.mark.parametrize("order", [Order(), Order(BY_SITE, descending=True), Order("power_kw")])
def test_a_page_goes_on_after_a_site_that_is_gone_from_the_answer(order: Order) -> None:
    rows = [(1.0, i != 4) for i in range(9)]
    page = first_page(parts_of(rows, 2), [], order, 9, Cursor(1.0 if order.column != BY_SITE else 0.0, "s4"))
    later = [f"s{i}" for i in range(5, 9)]
    assert [hit.site for hit in page.hits] == (["s3", "s2", "s1", "s0"] if order.descending else later)
    elsewhere = first_page(parts_of(rows, 2), [], order, 9, Cursor(1.0 if order.column != BY_SITE else 0.0, "s4a"))
    assert [hit.site for hit in elsewhere.hits] == (["s3", "s2", "s1", "s0"] if order.descending else later)


def test_a_value_without_bounds_is_still_a_known_one() -> None:
    page = first_page(
        parts_of([(math.nan, True), (2.0, True)], 1), [Bound("power_kw", -math.inf, math.inf)], Order(), 5
    )
    assert [hit.site for hit in page.hits] == ["s1"]
