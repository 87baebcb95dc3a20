"""An upgrade of a plant that runs: processes of the version before and of this one share a log, in either order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cluster import PATIENCE_S, Cluster, Node, plant, tell
from tests.acceptance.processes import until
from tests.acceptance.test_cluster_soak import HOMES, check
from tests.data import ROOT

BEFORE = os.environ.get("UPGRADE_FROM", "d3c3250586c40f9f53c78e820f96947d7745874b")
"""The version before: every later one must work beside it. With a release this becomes its tag."""
pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the version before, from this clone's history."""
    folder = tmp_path_factory.mktemp("before")
    found = subprocess.run(["git", "-C", ROOT, "archive", BEFORE, "src"], check=False, capture_output=True)
    if found.returncode:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"{BEFORE[:7]} is not in this clone's history: git fetch --unshallow")
    subprocess.run(["tar", "-x", "-C", folder], input=found.stdout, check=True)
    sources = folder / "src"
    ask = [sys.executable, "-c", "import powerflock; print(powerflock.__file__)"]
    used = subprocess.run(
        ask, env=os.environ | {"PYTHONPATH": str(sources)}, check=True, capture_output=True, text=True
    )
    assert Path(used.stdout.strip()).is_relative_to(sources), "this Python prefers its own version"
    return sources


def to_version(cluster: Cluster, node: Node, sources: Path | None) -> None:
    """Renew one process in another version; every home is fresh again, and books are closed, before the next."""
    node.sources = sources
    cluster.renew(node)
    until("every home to be fresh", cluster.covered, PATIENCE_S)
    settled_s = cluster.settles_s(1)
    tell(f"{node.name} renewed; an interval settled {settled_s:.1f} s later")


def test_a_plant_is_upgraded_taken_back_and_upgraded_again_and_loses_nothing(
    tmp_path: Path, kafka_servers: str, before: Path
) -> None:
    """Back in another order: the version before goes on from snapshots, books and reports that this one wrote."""
    with plant(tmp_path, kafka_servers, HOMES, sources=before, kafka={"topic_prefix": "upgrade."}) as cluster:
        cluster.settles_s(2)
        nodes = list(cluster.nodes.values())
        for node in nodes:
            to_version(cluster, node, None)
        for sources in (before, None):
            for node in reversed(nodes):
                to_version(cluster, node, sources)
        check(cluster)
