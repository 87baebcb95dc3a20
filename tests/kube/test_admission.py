"""What the API server itself says of the chart's manifests: fields, values, pods' rights, operators' definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.data import ROOT
from tests.deploy.chart import VALUES, Manifest, render
from tests.deploy.tools import CHART
from tests.kube.cluster import BINARIES, Cluster

pytestmark = pytest.mark.kube
UNDEFINED = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster"}
"""Kinds of Strimzi and CloudNativePG, which this cluster does not know."""


@pytest.fixture(scope="module")
def namespace(running: Cluster) -> Iterator[str]:
    yield running.make_namespace("energy")
    running.kubectl("delete", "namespace", "energy", "--wait=false")


def said_to(here: Cluster, manifests: list[Manifest]) -> str:
    """Errors and warnings that the API server has for `manifests`; nothing is made."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    command = ("apply", "--dry-run=server", "--validate=strict", "--namespace=energy", "--filename=-")
    return here.run(BINARIES / "kubectl", *command, stdin=listed).stderr


@pytest.mark.parametrize("values", sorted(VALUES))
@pytest.mark.parametrize("upgrade", [False, True])
def test_the_api_server_takes_every_manifest_without_a_word(
    running: Cluster, namespace: str, values: str, upgrade: bool
) -> None:
    known = [each for each in render(values, upgrade=upgrade) if each["kind"] not in UNDEFINED]
    assert said_to(running, known) == ""


def test_a_misspelt_field_of_an_operator_is_noticed(running: Cluster, namespace: str) -> None:
    (scaler,) = (each for each in render("everything") if each["kind"] == "ScaledObject")
    broken = scaler | {"spec": scaler["spec"] | {"maxReplicas": 3}}
    assert 'unknown field "maxReplicas"' in said_to(running, [broken])


def test_a_pod_with_rights_that_it_does_not_need_is_refused(running: Cluster, namespace: str) -> None:
    image = ("powerflock", "--image=powerflock", "--dry-run=server")
    done = running.run(BINARIES / "kubectl", "run", *image, "--namespace", namespace)
    assert 'violates PodSecurity "restricted:latest"' in done.stderr


@pytest.mark.parametrize(("operator", "kind"), [("strimzi", "Kafka"), ("cloudnativepg", "Cluster")])
def test_an_operator_that_is_not_there_is_missed_before_anything_is_installed(
    running: Cluster, namespace: str, operator: str, kind: str
) -> None:
    helm, options = ROOT / ".tools" / "bin" / "helm", ("--namespace", namespace, "--set", f"{operator}.enabled=true")
    done = running.run(helm, "install", operator, CHART, "--values", VALUES["minimal"], *options)
    assert done.returncode != 0
    assert f'no matches for kind "{kind}"' in done.stderr
    assert running.items("pods,deployments,statefulsets,services,jobs,networkpolicies", "--namespace", namespace) == []
