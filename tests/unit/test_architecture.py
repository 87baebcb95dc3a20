"""The layers hold, and the checks that say so notice a planted violation of each."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import ROOT

PACKAGE = ROOT / "src" / "powerflock"
PURE = ("domain", "curve", "twins", "groups", "forecast", "optimise", "market", "dispatch", "alarms", "plant")
SHELLS = ("log", "gateway", "edge", "history", "api", "autobidder", "registry", "sim")
CLOCKS = {"now", "utcnow", "today"}
CLOCK_OWNERS = {"datetime", "date", "Timestamp", "dt"}
EFFECTS = {"open", "print", "input", "breakpoint"}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the project's contracts on the package under `root`/src."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=root / "src",
        env=os.environ | {"PYTHONPATH": str(root / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """A copy of the package's tree in which every module is empty, so that the only imports are those planted."""
    for path in PACKAGE.rglob("*.py"):
        copy = tmp_path / "src" / path.relative_to(PACKAGE.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("")
    for name in ("cli", "settings", "doctor"):
        (tmp_path / "src" / "powerflock" / f"{name}.py").write_text("")
    (tmp_path / "src/powerflock/domain/clock.py").write_text("import time\n")
    return tmp_path


def impurities(source: str) -> Iterator[str]:
    """Reads of a clock, files, terminals, chance or global state that an import contract cannot see."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        if name in CLOCKS and owner.rpartition(".")[2] in CLOCK_OWNERS:
            yield f"line {node.lineno}: {called} reads a clock"
        if not owner and name in EFFECTS:
            yield f"line {node.lineno}: {called} is I/O"
        if name == "default_rng" and not node.args and not node.keywords:
            yield f"line {node.lineno}: {called} without a seed"


def test_the_layers_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_an_empty_tree_keeps_every_contract(skeleton: Path) -> None:
    done = lint_imports(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("domain", "import powerflock.curve", "domain imports nothing of ours"),
        ("curve", "from powerflock import twins", "curve imports nothing of ours but domain"),
        ("twins", "import powerflock.log", "the pure packages know no shell"),
        ("market", "from powerflock.settings import load", "the pure packages know no shell"),
        ("optimise", "import powerflock.plant", "only plant turns the ring"),
        ("plant", "import powerflock.gateway", "the pure packages know no shell"),
        ("plant", "import time", "reaches no clock, file, socket"),
        ("dispatch", "def f() -> None:\n    import socket", "reaches no clock, file, socket"),
        ("forecast", "import time", "reaches no clock, file, socket"),
        ("optimise", "from random import random", "reaches no clock, file, socket"),
        ("groups", "import picows", "reaches no clock, file, socket"),
        ("alarms", "import time", "reaches no clock, file, socket"),
        ("alarms", "import powerflock.api", "the pure packages know no shell"),
        ("registry", "import powerflock.autobidder", "shells do not know each other"),
        ("api", "import powerflock.gateway", "shells do not know each other"),
        ("sim", "import powerflock.compose", "only the command line knows compose"),
        ("log", "import powerflock.cli", "only the command line knows compose"),
    ],
)
def test_a_planted_import_is_noticed(skeleton: Path, where: str, line: str, contract: str) -> None:
    (skeleton / "src/powerflock" / where / "planted.py").write_text(f"{line}\n")
    done = lint_imports(skeleton)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = done.stdout.partition("Broken contracts")[2]
    assert contract in broken
    assert f"powerflock.{where}.planted" in broken


def test_the_contracts_name_every_package() -> None:
    """A new package has to be given its layer."""
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found == {*PURE, *SHELLS, "compose"}


def test_pure_code_has_no_effects() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): list(impurities(path.read_text(encoding="utf-8")))
        for layer in PURE
        for path in sorted((PACKAGE / layer).rglob("*.py"))
    }
    assert {name: effects for name, effects in found.items() if effects} == {}


@pytest.mark.parametrize(
    "source",
    [
        "x = datetime.now(UTC)",
        "x = dt.datetime.utcnow()",
        "x = pd.Timestamp.now()",
        "x = date.today()",
        "open('f')",
        "print(1)",
        "rng = np.random.default_rng()",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_a_planted_effect_is_noticed(source: str) -> None:
    assert list(impurities(source))


@pytest.mark.parametrize("source", ["rng = np.random.default_rng(seed)", "view.open()", "state.now", "clock.now(1)"])
def test_pure_code_is_left_alone(source: str) -> None:
    assert not list(impurities(source))


def test_the_whole_package_is_copied_when_checked(skeleton: Path) -> None:
    """The skeleton has each real module, so a contract cannot pass there for want of a package."""
    copied = {path.relative_to(skeleton / "src") for path in (skeleton / "src").rglob("*.py")}
    assert {path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")} <= copied
    shutil.rmtree(skeleton / "src")
