"""A role's parts on a log in memory, with a group that says what the test wants."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from powerflock.compose.clockwork import Clockwork
from powerflock.compose.files import RoleFiles
from powerflock.compose.roles.process import Parts
from powerflock.log.membership import Changes, Member
from powerflock.log.memory import MemoryLog
from powerflock.settings import load

HERE, ELSEWHERE = "127.0.0.1:1", "127.0.0.1:2"


@dataclass
class Told:
    """A group whose owners are what the test says."""

    owner: dict[int, str] = field(default_factory=dict)

    def join(self, group: str, topic: str, name: str, address: str, changes: Changes) -> Member:
        raise NotImplementedError

    def owners(self, group: str, topic: str) -> dict[int, str]:
        return dict(self.owner)

    def close(self) -> None:
        pass


@pytest.fixture
def groups() -> Told:
    return Told()


@pytest.fixture
def parts(tmp_path: Path, groups: Told) -> Iterator[Parts]:
    overrides: dict[str, object] = {"plant.data_dir": tmp_path, "plant.speed": 60.0, "plant.partitions": 2}
    settings = load(overrides=overrides).settings
    files = RoleFiles.open(settings)
    clockwork = Clockwork.open(files.clock, 60.0, simulated=True)
    with ThreadPoolExecutor(1) as pool:
        yield Parts(settings, "here", HERE, files, clockwork, MemoryLog(), groups, pool)
