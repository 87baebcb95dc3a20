"""Page tokens lead to the next page and to nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from powerflock.api.paging import page_token, site_before
from powerflock.domain.errors import InvalidInput


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_a_token_leads_back_to_its_site(site: str) -> None:
    assert site_before(page_token(site)) == site


@given(st.text(max_size=40))
@example("\x80")
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        site_before(text)


@pytest.mark.parametrize("token", ["", "=", "MTphIGI", "MjphYmM", page_token("a") + "="])
def test_near_misses_are_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        site_before(token)
