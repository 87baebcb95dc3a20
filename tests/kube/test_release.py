"""The chart's life on a real control plane with SIMULATED nodes: install, upgrade, rollback, drain, scale, uninstall.

Shown is what Kubernetes does with the manifests: admission (the `restricted` pod security standard), scheduling,
budgets, rollouts and hooks. Containers never run, so nothing here says that a role starts: other tests do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import ROOT
from tests.deploy.chart import ROLES, VALUES
from tests.deploy.tools import CHART
from tests.kube.cluster import BINARIES, NODES, Cluster, cluster

pytestmark = pytest.mark.kube
PODS = {"gateway": 2, "twins": 2, "autobidder": 2, "historian": 2, "api": 2}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not (BINARIES / "kube-apiserver").is_file() or not (ROOT / ".tools" / "bin" / "helm").is_file():
        reason = "there is no control plane to run: `scripts/tools.sh helm kube` builds it, where there is Go"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("cluster")) as here:
        yield here


class Release:
    """One release in a namespace of its own, which admits only restricted pods."""

    def __init__(self, here: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = here, namespace
        here.kubectl("create", "namespace", namespace)
        here.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.helm("install", CHART, "--values", VALUES["minimal"], "--wait", "--timeout", "5m")

    def helm(self, verb: str, *arguments: str | Path) -> str:
        return self.cluster.helm(verb, "plant", *arguments, "--namespace", self.namespace)

    def upgrade(self, *sets: str) -> None:
        options = [part for each in sets for part in ("--set", each)]
        self.helm("upgrade", CHART, "--values", VALUES["minimal"], *options, "--wait", "--timeout", "5m")

    def pods(self, role: str) -> dict[str, str]:
        """Node of each pod of `role` that is ready, by the pod's uid."""
        selector = f"app.kubernetes.io/component={role},app.kubernetes.io/instance=plant"
        return {
            pod["metadata"]["uid"]: pod["spec"]["nodeName"]
            for pod in self.cluster.items("pods", "--namespace", self.namespace, "--selector", selector)
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", [])
            )
        }

    def counts(self) -> dict[str, int]:
        return {role: len(self.pods(role)) for role in ROLES}


@pytest.fixture
def release(running: Cluster, request: pytest.FixtureRequest) -> Iterator[Release]:
    namespace = request.node.name.replace("_", "-").removeprefix("test-")[:40].rstrip("-")
    yield Release(running, namespace)
    running.kubectl("uncordon", *NODES)
    running.kubectl("delete", "namespace", namespace, "--wait=false")


def test_an_install_ends_when_every_pod_is_ready(release: Release) -> None:
    assert release.counts() == PODS
    jobs = release.cluster.items("jobs", "--namespace", release.namespace)
    assert jobs == [], "the migration ran and was tidied away"
    for role in ROLES:
        assert len(set(release.pods(role).values())) == 2, f"both pods of {role} on one node"


def test_an_upgrade_replaces_only_what_changed_and_a_rollback_brings_it_back(release: Release) -> None:
    before = {role: set(release.pods(role)) for role in ROLES}
    release.upgrade("gateway.settings.gateway.batch_ms=20")
    after = {role: set(release.pods(role)) for role in ROLES}
    assert release.counts() == PODS
    assert before["gateway"].isdisjoint(after["gateway"])
    assert {role for role in ROLES if before[role] != after[role]} == {"gateway"}

    def settings() -> str:
        return release.cluster.kubectl(
            "get", "configmap", "plant-powerflock-gateway", "--namespace", release.namespace, "--output", "yaml"
        )

    assert "batch_ms = 20" in settings()
    release.helm("rollback", "1", "--wait", "--timeout", "5m")
    assert "batch_ms" not in settings()
    assert release.counts() == PODS


def test_more_twins_are_placed_on_other_nodes_and_zones(release: Release) -> None:
    release.upgrade("twins.replicas=6", "topologySpread.nodes=DoNotSchedule", "topologySpread.zones=DoNotSchedule")
    nodes = release.pods("twins").values()
    assert len(nodes) == 6
    assert Counter(node[-2] for node in nodes) == {"a": 2, "b": 2, "c": 2}
    release.upgrade("twins.replicas=1")
    assert release.counts() == PODS | {"twins": 1}


def test_a_drain_never_takes_the_second_pod_of_a_role_before_the_first_is_back(release: Release) -> None:
    here, (left, right) = release.cluster, set(release.pods("autobidder").values())
    others = [node for node in NODES if node != left]
    here.kubectl("cordon", *NODES)

    def drain(node: str, timeout: str) -> tuple[int, str]:
        options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={timeout}")
        done = here.run(BINARIES / "kubectl", "drain", node, *options)
        return done.returncode, done.stdout + done.stderr

    code, said = drain(right, "60s")
    assert code == 0, said
    assert len(release.pods("autobidder")) == 1, "nowhere to go: the evicted pod waits"
    code, said = drain(left, "10s")
    assert code != 0
    assert "violate the pod's disruption budget" in said
    assert len(release.pods("autobidder")) == 1
    here.kubectl("uncordon", *others)
    code, said = drain(left, "120s")
    assert code == 0, said
    here.kubectl("wait", "pods", "--all", "--for=condition=Ready", "--namespace", release.namespace, "--timeout=120s")
    assert release.counts() == PODS
    assert left not in {node for role in ROLES for node in release.pods(role).values()}


def test_values_that_do_not_fit_leave_the_running_release_alone(release: Release) -> None:
    before = {role: set(release.pods(role)) for role in ROLES}
    with pytest.raises(AssertionError, match=r"twins\.replicas is 65, more than plant\.partitions, 64"):
        release.upgrade("twins.replicas=65")
    assert {role: set(release.pods(role)) for role in ROLES} == before


def test_an_uninstall_leaves_nothing_behind(release: Release) -> None:
    release.helm("uninstall", "--wait", "--timeout", "5m")
    kinds = (
        "pods,deployments,statefulsets,services,configmaps,jobs,poddisruptionbudgets,networkpolicies,serviceaccounts"
    )
    left = release.cluster.items(kinds, "--namespace", release.namespace)
    names = {(each["kind"], each["metadata"]["name"]) for each in left}
    assert names == {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
