"""The tree stays small and clean: budgets that may only tighten, and things that must never be committed.

Each rule is a function over a source text or a file list, so that a planted violation can prove that it bites.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import ROOT, data_dir

MODULE_LINES = 500
FUNCTION_LINES = 60
MODULES_OVER_300_LINES = 6
"""A ratchet: lower it when modules shrink, never raise it."""
FILE_BYTES = 1_000_000
BROAD_EXCEPT_IN = {
    "src/powerflock/api/stream.py:_publish",
    "src/powerflock/compose/past.py:_run",
    "src/powerflock/compose/past.py:offer",
}
"""Named supervisors that may catch everything, as `src/...py:function`; each counts what it caught in a metric."""
CODE = ("src", "tests", "benchmarks", "scripts")
WORDS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
REMOTE = re.compile(
    r"""(?:src|href|import|from|url|fetch)\s*[=(]?\s*\(?["'`](?:https?:)?//(?!127\.0\.0\.1|localhost)"""
)
CDN = re.compile(r"unpkg\.com|jsdelivr|cdnjs|googleapis\.com|gstatic\.com|esm\.sh|skypack|fonts\.bunny|mapbox\.com")
PAGE_SUFFIXES = {".html", ".svelte", ".ts", ".js", ".css", ".mjs"}


def modules() -> list[Path]:
    return sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def oversized_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


def broad_excepts(source: str) -> Iterator[str]:
    """The innermost function around each `except` that catches everything and does not raise it again."""
    parents = {child: node for node in ast.walk(ast.parse(source)) for child in ast.iter_child_nodes(node)}
    for node in parents:
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        raises_again = isinstance(last := node.body[-1], ast.Raise) and last.exc is None
        if not raises_again and any(
            kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds
        ):
            around: ast.AST | None = node
            while around is not None and not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
                around = parents.get(around)
            yield around.name if around is not None else "module"


def remote_references(source: str) -> list[str]:
    return [line.strip() for line in source.splitlines() if REMOTE.search(line) or CDN.search(line)]


def page_sources() -> list[Path]:
    return [
        path
        for path in (ROOT / "ui").rglob("*")
        if path.suffix in PAGE_SUFFIXES and "node_modules" not in path.parts and path.is_file()
    ]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_module_outgrows_a_reader() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES} == {}
    long = sorted(name for name, lines in sizes.items() if lines > 300 and name.startswith("src/"))
    assert len(long) <= MODULES_OVER_300_LINES, f"split one of {long}"


def test_no_function_outgrows_a_reader() -> None:
    found = {name_of(path): list(oversized_functions(path.read_text(encoding="utf-8"))) for path in modules()}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_an_oversized_function_is_noticed() -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    assert list(oversized_functions(f"def f():\n{body}")) == [f"f has {FUNCTION_LINES + 1} lines"]
    assert not list(oversized_functions(f"def f():\n{body[: -len('    x = 1' + chr(10))]}"))


def test_every_module_says_what_it_is_for() -> None:
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in modules()}
    assert [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))] == []
    assert [name for name, text in texts.items() if not text.strip() and name.startswith("src/")] == []


def test_only_named_supervisors_catch_everything() -> None:
    found = {
        f"{name_of(path)}:{function}"
        for path in modules()
        for function in broad_excepts(path.read_text(encoding="utf-8"))
    }
    assert found == BROAD_EXCEPT_IN, "allow only what exists, and name each"


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (OSError, BaseException) as e:"])
def test_a_broad_except_is_noticed(clause: str) -> None:
    assert list(broad_excepts(f"def f():\n    try:\n        pass\n    {clause}\n        pass\n")) == ["f"]


@pytest.mark.parametrize("clause", ["except OSError:\n        pass", "except BaseException:\n        raise"])
def test_an_except_that_hides_nothing_is_fine(clause: str) -> None:
    assert not list(broad_excepts(f"def f():\n    try:\n        pass\n    {clause}\n"))


def test_nothing_is_left_for_later() -> None:
    texts = [*modules(), *page_sources(), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = [name_of(path) for path in texts if WORDS.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_the_page_asks_no_other_host() -> None:
    found = {name_of(path): remote_references(path.read_text(encoding="utf-8")) for path in page_sources()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://unpkg.com/uplot"></script>',
        "import x from 'https://esm.sh/x'",
        '@import "//fonts.googleapis.com/css";',
        "fetch(`https://example.org/a`)",
    ],
)
def test_a_remote_reference_is_noticed(line: str) -> None:
    assert remote_references(line)


def test_links_and_namespaces_are_no_remote_reference() -> None:
    assert not remote_references('<svg xmlns="http://www.w3.org/2000/svg">\nconst repository = "https://example.org"')


LAZY = re.compile(r"msgspec\.(?:msgpack|json)\.decode\((?:[^()]|\([^()]*\))*\btype=")
THREADED = ("autobidder", "domain", "log", "plant", "twins")


def test_what_partitions_recover_with_in_threads_makes_its_decoders_before_there_are_threads() -> None:
    """Two threads that let msgspec look at a type for the first time at one moment end the process."""
    texts = [path for folder in THREADED for path in (ROOT / "src/powerflock" / folder).rglob("*.py")]
    assert len(texts) > 20
    assert [name_of(path) for path in texts if LAZY.search(path.read_text(encoding="utf-8"))] == []


def test_a_decoder_made_on_the_way_is_noticed() -> None:
    assert LAZY.search("msgspec.json.decode((metadata or {})[MARK], type=Header)")
    assert not LAZY.search("msgspec.json.decode(payload)")


def test_no_folder_of_tests_is_left_out() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    there = {path.relative_to(ROOT).parts[:2] for path in (ROOT / "tests").rglob("test_*.py")}
    assert {"/".join(parts) for parts in there} == set(asked["testpaths"])


def test_no_large_file_is_committed() -> None:
    assert [name_of(path) for path in tracked() if path.stat().st_size > FILE_BYTES] == []


def test_no_real_data_is_committed() -> None:
    """Neither by name of folder nor by content."""
    if not data_dir().is_dir():
        assert os.environ.get("CI") != "true", f"{data_dir()} is absent"
        pytest.skip(f"{data_dir()} is absent, so nothing can be compared with it")
    real = {path.stat().st_size: path for path in data_dir().rglob("*") if path.is_file() and path.stat().st_size}
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in data_dir().rglob("*") if path.is_file()}
    assert [
        name_of(path)
        for path in tracked()
        if path.stat().st_size in real and hashlib.sha256(path.read_bytes()).digest() in digests
    ] == []
    assert [name_of(path) for path in tracked() if path.is_relative_to(ROOT / "shared")] == []


def dead_links(page: Path) -> list[str]:
    """Relative links of a Markdown page that lead nowhere."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in local if not (page.parent / target).exists()]


def test_documents_name_only_what_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = {name_of(page): dead_links(page) for page in pages}
    assert {name: links for name, links in found.items() if links} == {}


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md) [b](gone.md) [c](https://example.org) [d](page.md#part)")
    assert dead_links(page) == ["gone.md"]
