"""A token opens its own site's session and no other."""

from __future__ import annotations

import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.gateway.tokens import issue, verify

SECRET = b"0123456789abcdef"


def test_a_token_is_good_for_its_own_site_and_secret_only() -> None:
    token = issue(SECRET, "home-1")
    assert len(token) == 32
    assert verify(SECRET, "home-1", token)
    assert not verify(SECRET, "home-2", token)
    assert not verify(SECRET[::-1], "home-1", token)
    assert not verify(SECRET, "home-1", token.upper())
    assert not verify(SECRET, "no/site", token)
    assert not verify(SECRET, "home-1", "\udc80é")


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 65])
def test_a_weak_secret_is_refused_loudly_on_both_sides(secret: bytes) -> None:
    with pytest.raises(InvalidInput, match="secret"):
        issue(secret, "home-1")
    with pytest.raises(InvalidInput, match="secret"):
        verify(secret, "home-1", "x")
