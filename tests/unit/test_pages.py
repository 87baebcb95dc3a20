"""Pages whose Python is meant to be copied: it runs block after block, and prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import ROOT

FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if FENCED.search(page.read_text(encoding="utf-8"))]


def told_and_shown(text: str) -> Iterator[tuple[str, str, str]]:
    """Each `print` of a page's blocks, what its comment says that it prints, and what it prints."""
    names: dict[str, object] = {}
    for block in FENCED.findall(text):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block, "page", "exec"), names)
        prints = [line for line in block.splitlines() if line.startswith("print(")]
        for line, shown in zip(prints, said.getvalue().splitlines(), strict=True):
            call, _, told = line.partition("  # ")
            yield call, told, shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_its_python_does(page: Path) -> None:
    found = list(told_and_shown(page.read_text(encoding="utf-8")))
    assert len(found) > 0
    assert [(call, shown) for call, _, shown in found] == [(call, told) for call, told, _ in found]


def test_the_optimisers_page_is_among_them() -> None:
    assert ROOT / "docs/optimiser.md" in PAGES


@pytest.mark.parametrize("block", ["print(1 + 1)  # 3", "x = 1\nprint(x)", "print(2)  # 2\nprint('a')  # b"])
def test_a_comment_that_is_not_what_is_printed_is_noticed(block: str) -> None:
    assert any(told != shown for _, told, shown in told_and_shown(f"```python\n{block}\n```\n"))


def test_a_block_that_fails_is_noticed() -> None:
    with pytest.raises(NameError):
        list(told_and_shown("```python\nfirst = 1\n```\nand\n```python\nprint(first + second)  # 3\n```\n"))
