"""A network of its own for a process, joined to this one by a pair of interfaces that can be pulled apart."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

NAME, CABLE = "powerflock-apart", "pfapart"
OUTSIDE, INSIDE = "10.231.7.1", "10.231.7.2"


@dataclass(frozen=True, slots=True)
class Apart:
    """Addresses of both ends, and the command that runs another `within`."""

    outside: str
    inside: str
    within: tuple[str, ...]

    def cut(self) -> None:
        """Pull the cable: what is sent from either side is lost without a word."""
        _ip("link", "set", f"{CABLE}0", "down")

    def heal(self) -> None:
        """Plug it in again."""
        _ip("link", "set", f"{CABLE}0", "up")


@contextmanager
def apart() -> Iterator[Apart]:
    """The network, until the block ends; the test is skipped where this user may not make one."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("networks are made by root with iproute2")
    made = subprocess.run(["ip", "netns", "add", NAME], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this kernel makes no network of its own: {made.stderr.strip()}")
    try:
        _ip("link", "add", f"{CABLE}0", "type", "veth", "peer", "name", f"{CABLE}1", "netns", NAME)
        _ip("addr", "add", f"{OUTSIDE}/30", "dev", f"{CABLE}0")
        _ip("link", "set", f"{CABLE}0", "up")
        _ip("-n", NAME, "addr", "add", f"{INSIDE}/30", "dev", f"{CABLE}1")
        for link in ("lo", f"{CABLE}1"):
            _ip("-n", NAME, "link", "set", link, "up")
        yield Apart(OUTSIDE, INSIDE, ("ip", "netns", "exec", NAME))
    finally:
        _ip("netns", "delete", NAME)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
