"""The chart's life on a real control plane with SIMULATED nodes: install, upgrade, rollback, drain, scale, uninstall.

Shown is what Kubernetes does with the manifests: admission (the `restricted` pod security standard), scheduling,
budgets, rollouts and hooks. Containers never run, so nothing here says that a role starts: other tests do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import ROLES, VALUES
from tests.deploy.tools import CHART
from tests.kube.cluster import BINARIES, NODES, Cluster, process, until

pytestmark = pytest.mark.kube
PODS = {"gateway": 2, "twins": 2, "autobidder": 2, "historian": 2, "api": 2}


class Release:
    """One release in a namespace of its own, which admits only restricted pods."""

    def __init__(self, here: Cluster, namespace: str, *options: str | Path) -> None:
        self.cluster, self.namespace = here, here.make_namespace(namespace)
        self.options = options or ("--values", VALUES["minimal"])
        self.helm("install", CHART, *self.options, "--wait", "--timeout", "5m")

    def helm(self, verb: str, *arguments: str | Path) -> str:
        return self.cluster.helm(verb, "plant", *arguments, "--namespace", self.namespace)

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(*arguments, "--namespace", self.namespace)

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        return self.cluster.items(*arguments, "--namespace", self.namespace)

    def upgrade(self, *sets: str) -> None:
        options = [part for each in sets for part in ("--set", each)]
        self.helm("upgrade", CHART, *self.options, *options, "--wait", "--timeout", "5m")

    def pods(self, role: str) -> dict[str, str]:
        """Node of each pod of `role` that is ready, by the pod's uid."""
        selector = f"app.kubernetes.io/component={role},app.kubernetes.io/instance=plant"
        return {
            pod["metadata"]["uid"]: pod["spec"]["nodeName"]
            for pod in self.items("pods", "--selector", selector)
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", [])
            )
        }

    def counts(self) -> dict[str, int]:
        return {role: len(self.pods(role)) for role in ROLES}


CHANGE = (
    "{.type},{.object.metadata.uid},{.object.metadata.labels.app\\.kubernetes\\.io/component},"
    '{.object.metadata.deletionTimestamp},{.object.status.conditions[?(@.type=="Ready")].status}{"\\n"}'
)


def ready_pods(changes: str) -> Iterator[dict[str, str]]:
    """Role of each ready pod by its uid, after each of kubectl's lines in the form of `CHANGE`."""
    ready: dict[str, str] = {}
    for line in changes.splitlines(keepends=True):
        if line.endswith("\n"):
            change, uid, role, ending, state = line.strip().split(",")
            ready = {known: its for known, its in ready.items() if known != uid}
            if change != "DELETED" and not ending and state == "True":
                ready[uid] = role
            yield ready


@contextmanager
def watched(release: Release) -> Iterator[list[Counter[str]]]:
    """How many pods of each role were ready after each change of one, filled in at the context's end."""
    folder, roles = release.cluster.folder, f"app.kubernetes.io/component in ({','.join(ROLES)})"
    history: list[Counter[str]] = []

    def so_far() -> list[dict[str, str]]:
        return list(ready_pods((folder / "kubectl.log").read_text()))

    def uids() -> set[str]:
        return {uid for role in ROLES for uid in release.pods(role)}

    with process(
        folder, BINARIES / "kubectl", "get", "pods", f"--kubeconfig={folder}/kubeconfig", "--watch",
        "--output-watch-events", f"--output=jsonpath={CHANGE}", f"--selector={roles}", "--namespace", release.namespace,
    ) as watch:  # fmt: skip
        first = len(uids())
        until(lambda: len(so_far()) >= first, "every pod is watched", watch)
        yield history
        last = uids()
        until(lambda: set(so_far()[-1]) == last, "the last change is seen", watch)
    history += [Counter(ready.values()) for ready in so_far()[first - 1 :]]


@pytest.fixture
def namespace(running: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.replace("_", "-").removeprefix("test-")[:40].rstrip("-")
    yield name
    running.kubectl("uncordon", *NODES)
    running.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def release(running: Cluster, namespace: str) -> Release:
    return Release(running, namespace)


def test_an_install_ends_when_every_pod_is_ready(release: Release) -> None:
    assert release.counts() == PODS
    assert release.items("jobs") == [], "the migration ran and was tidied away"
    for role in ROLES:
        assert len(set(release.pods(role).values())) == 2, f"both pods of {role} on one node"


def test_devices_and_people_find_every_pod_behind_the_two_doors(release: Release) -> None:
    def leads_to_two(service: str) -> bool:
        slices = release.items("endpointslices", "--selector", f"kubernetes.io/service-name=plant-powerflock-{service}")
        endpoints = [each for found in slices for each in found["endpoints"] or []]
        return [each["conditions"]["ready"] for each in endpoints] == [True, True]

    for service in ("gateway", "api", "gateway-pods", "twins-pods"):
        until(partial(leads_to_two, service), f"{service} leads to both pods")
    gateways = release.items("pods", "--selector", "app.kubernetes.io/component=gateway")
    numbers = {
        each["metadata"]["name"]: each["metadata"]["labels"]["apps.kubernetes.io/pod-index"] for each in gateways
    }
    assert numbers == {"plant-powerflock-gateway-0": "0", "plant-powerflock-gateway-1": "1"}


def test_an_upgrade_replaces_only_what_changed_and_a_rollback_brings_it_back(release: Release) -> None:
    before = {role: set(release.pods(role)) for role in ROLES}
    release.upgrade("gateway.settings.gateway.batch_ms=20")
    after = {role: set(release.pods(role)) for role in ROLES}
    assert release.counts() == PODS
    assert before["gateway"].isdisjoint(after["gateway"])
    assert {role for role in ROLES if before[role] != after[role]} == {"gateway"}

    def settings() -> str:
        return release.kubectl("get", "configmap", "plant-powerflock-gateway", "--output", "yaml")

    assert "batch_ms = 20" in settings()
    release.helm("rollback", "1", "--wait", "--timeout", "5m")
    assert "batch_ms" not in settings()
    assert release.counts() == PODS
    assert after["gateway"].isdisjoint(release.pods("gateway"))


def test_an_upgrade_of_every_role_never_takes_more_pods_than_one(release: Release) -> None:
    before = {role: set(release.pods(role)) for role in ROLES}
    with watched(release) as history:
        release.upgrade("settings.plant.region=SA1")
    for role in ROLES:
        assert before[role].isdisjoint(release.pods(role))
        ready = {counts[role] for counts in history}
        assert ready == ({1, 2} if role in {"gateway", "twins"} else {2, 3}), role


def test_twins_grow_to_one_for_each_partition_spread_over_nodes_and_zones_and_shrink_to_one(release: Release) -> None:
    spread = ("topologySpread.nodes=DoNotSchedule", "topologySpread.zones=DoNotSchedule", "plant.partitions=12")
    release.upgrade("twins.replicas=12", *spread)
    nodes = release.pods("twins").values()
    assert Counter(nodes) == dict.fromkeys(NODES, 2)
    assert Counter(node[-2] for node in nodes) == {"a": 4, "b": 4, "c": 4}
    before = {role: set(release.pods(role)) for role in ROLES}
    with pytest.raises(AssertionError, match=r"twins\.replicas is 13, more than plant\.partitions, 12"):
        release.upgrade("twins.replicas=13", *spread)
    assert {role: set(release.pods(role)) for role in ROLES} == before, "what was refused changed nothing"
    release.upgrade("twins.replicas=1", *spread)
    assert release.counts() == PODS | {"twins": 1}


def test_what_scalers_decided_outlives_an_upgrade(running: Cluster, namespace: str) -> None:
    """No metrics are served here, so autoscalers only lift their roles to the floor; the test plays KEDA."""
    own = ("strimzi.enabled=false", "cloudnativepg.enabled=false", "kafka.bootstrapServers=kafka:9093")
    options = [part for each in own for part in ("--set", each)]
    release = Release(running, namespace, "--values", VALUES["everything"], *options)
    assert len(release.items("scaledobjects.keda.sh")) == 1
    for floor in ("statefulset/plant-powerflock-gateway", "deployment/plant-powerflock-api"):
        release.kubectl("wait", floor, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=120s")
    twins = "statefulset/plant-powerflock-twins"
    release.kubectl("scale", twins, "--replicas=12")
    release.kubectl("rollout", "status", twins, "--timeout=120s")
    release.upgrade("twins.settings.plant.region=SA1")
    assert release.counts() == PODS | {"twins": 12}


def test_a_scaler_is_turned_on_and_off_without_stopping_a_pod(release: Release) -> None:
    scaler = "twins.lagScaling.enabled=true"
    release.upgrade("twins.replicas=6")
    with watched(release) as history:
        with pytest.raises(
            AssertionError, match="plant-powerflock-twins has 6 pods, and this release named that number"
        ):
            release.upgrade("twins.replicas=6", scaler)
        number = {
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "plant-powerflock-twins"},
            "spec": {"replicas": 6},
        }  # fmt: skip
        handed_over = ("apply", "--server-side", "--field-manager=scaler", "--namespace", release.namespace)
        release.cluster.kubectl(*handed_over, "--filename=-", stdin=json.dumps(number))
        release.upgrade(scaler)
        release.upgrade(scaler, "api.settings.plant.region=SA1")
        release.kubectl("scale", "statefulset/plant-powerflock-twins", "--replicas=7")
        until(lambda: len(release.pods("twins")) == 7, "the scaler has its seventh pod")
        with pytest.raises(AssertionError, match="conflict"):
            release.upgrade("twins.replicas=2")
        release.upgrade("twins.replicas=7")
    assert {counts["twins"] for counts in history} == {6, 7}
    assert release.items("scaledobjects.keda.sh") == []


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
    until(lambda: release.counts() == PODS, "every pod that was drained is back")
    assert left not in {node for role in ROLES for node in release.pods(role).values()}


def test_roles_stay_as_they_are_when_the_schema_could_not_be_migrated(release: Release) -> None:
    before = {role: set(release.pods(role)) for role in ROLES}
    with pytest.raises(AssertionError, match="pre-upgrade hooks failed"):
        release.upgrade("nodeSelector.room=none", "registry.migrate.activeDeadlineSeconds=30")
    assert {role: set(release.pods(role)) for role in ROLES} == before
    release.upgrade("settings.plant.region=SA1")
    assert release.counts() == PODS
    assert all(before[role].isdisjoint(release.pods(role)) for role in ROLES)


def test_values_of_the_wrong_kind_leave_the_running_release_alone(release: Release) -> None:
    before = release.items("all,configmaps,networkpolicies,poddisruptionbudgets")
    for wrong, said in (("twins.replica=3", "'replica' not allowed"), ("twins.replicas=many", "want integer")):
        with pytest.raises(AssertionError, match=said):
            release.upgrade(wrong)
    assert release.items("all,configmaps,networkpolicies,poddisruptionbudgets") == before


def test_an_uninstall_leaves_nothing_behind(release: Release) -> None:
    release.helm("uninstall", "--wait", "--timeout", "5m")
    kinds = (
        "pods,deployments,statefulsets,services,configmaps,jobs,poddisruptionbudgets,networkpolicies,serviceaccounts"
    )
    own = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    until(
        lambda: {(each["kind"], each["metadata"]["name"]) for each in release.items(kinds)} == own,
        "the namespace is as empty as before",
    )
