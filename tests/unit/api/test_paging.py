"""Page tokens lead to the next page of the same order and to nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from powerflock.api.paging import LastRow, page_start, page_token
from powerflock.domain.errors import InvalidInput

SITES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(st.sampled_from(["site", "-deviation_kw"]), st.floats(), SITES)
def test_a_token_leads_back_to_its_row_to_the_last_bit(sort: str, value: float, site: str) -> None:
    token = page_token(sort, LastRow(value, site))
    found = page_start(sort, token)
    assert found.site == site
    assert found.value == value or (math.isnan(found.value) and math.isnan(value))
    assert len(token) <= 256


@given(st.text(max_size=40))
@example("\x80")
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        page_start("site", text)


TOKEN = page_token("site", LastRow(0.0, "a"))


@pytest.mark.parametrize("token", ["", "=", "MTphIGI", "MjphYmM", TOKEN + "=", page_token("site", LastRow(0.0, "a b"))])
def test_near_misses_are_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        page_start("site", token)


def test_a_token_of_another_order_is_refused_with_the_order_it_is_for() -> None:
    with pytest.raises(InvalidInput, match="sorted by -power_kw"):
        page_start("-power_kw", TOKEN)
