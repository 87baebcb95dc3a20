"""Peers that cannot share our environment: each gets one of its own on demand, in `.venv-peers/`.

A peer is a few pinned packages and one script of this folder that reads problems from a JSON file and writes answers
to another, so nothing of it is ever imported here. Where it cannot be installed (no network, no wheels for this Python)
the reason goes to stderr and the benchmark leaves its rows out. Only `python -m benchmarks` installs; tests never do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / ".venv-peers"
INSTALL_S, ANSWER_S = 1200, 1800
_DONE = "complete"


@dataclass(frozen=True, slots=True)
class Peer:
    """`packages` are pinned, `script` is a file of this folder, run as `python script PROBLEMS ANSWERS`."""

    name: str
    packages: tuple[str, ...]
    script: str


def ask(peer: Peer, problems: bytes) -> bytes | None:
    """The peer's answers, JSON as the problems are; None, with the reason on stderr, where it cannot be installed.

    Raises `RuntimeError` with the end of what it said where its script fails.
    """
    try:
        python = environment(peer)
    except (OSError, subprocess.SubprocessError) as error:
        said = (
            error.stderr.strip().splitlines()[-3:] if isinstance(error, subprocess.CalledProcessError) else [str(error)]
        )
        sys.stderr.write(f"{peer.name} is left out, for it cannot be installed: {' / '.join(said)}\n")
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, written = Path(folder, "problems.json"), Path(folder, "answers.json")
        given.write_bytes(problems)
        # -I: this folder must not hide the peer's own modules
        command = [str(python), "-I", str(HERE / peer.script), str(given), str(written)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False, env=_clean())
        if done.returncode or not written.is_file():
            raise RuntimeError(f"{peer.name}: exit {done.returncode}: {done.stderr[-2000:].strip()}")
        return written.read_bytes()


def environment(peer: Peer) -> Path:
    """The Python of the peer's environment, made first where it is absent; raises what uv's failure raises."""
    folder = folder_of(peer)
    python = folder / "bin" / "python"
    if not (folder / _DONE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"installing {peer.name} into {folder.relative_to(ENVIRONMENTS.parent)} ...\n")
        for arguments in (
            ["venv", "--python", sys.executable, str(folder)],
            ["pip", "install", "--python", str(python), *peer.packages],
        ):
            subprocess.run(
                [*installer(), *arguments], capture_output=True, text=True, timeout=INSTALL_S, check=True, env=_clean()
            )
        (folder / _DONE).touch()
    return python


def folder_of(peer: Peer) -> Path:
    """Where the peer's environment is, for this Python and these pins."""
    pins = hashlib.sha256("\n".join((sys.version, *peer.packages)).encode()).hexdigest()[:12]
    return ENVIRONMENTS / f"{peer.name}-{pins}"


def installer() -> list[str]:
    """The command that makes environments."""
    return [find_uv_bin()]


def _clean() -> dict[str, str]:
    """Our variables, without those that would lead a peer's Python to our environment; one thread, as we use."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    }
    return kept | {"OMP_NUM_THREADS": "1"}
