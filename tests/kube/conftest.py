"""One control plane for all the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.data import ROOT
from tests.kube.cluster import BINARIES, Cluster, cluster


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that every test may share: each takes a namespace of its own."""
    if not (BINARIES / "crds").is_dir() or not (ROOT / ".tools" / "bin" / "helm").is_file():
        reason = "there is no control plane to run: `scripts/tools.sh helm kube` builds it, where there is Go"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("cluster")) as here:
        yield here
