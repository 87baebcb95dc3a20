"""Renders the chart with Helm itself, and reads the manifests."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import CHART, run, tool

Manifest = dict[str, Any]
ROLES = ("gateway", "twins", "autobidder", "historian", "api")
VALUES = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
CUSTOM = {
    "ScaledObject", "PodMonitor", "PrometheusRule", "Kafka", "KafkaNodePool", "KafkaTopic",
    "KafkaUser", "Cluster",
}  # fmt: skip
"""Kinds that operators define: Kubernetes has no schema of them."""


def helm(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of Helm."""
    done = run(tool("helm"), *arguments)
    return done.returncode, done.stdout + done.stderr


@cache
def _rendered(values: str, sets: tuple[str, ...], upgrade: bool) -> str:
    options = [*(part for each in sets for part in ("--set", each)), *(["--is-upgrade"] if upgrade else [])]
    done = run(tool("helm"), "template", "plant", CHART, "--namespace", "energy", "--values", VALUES[values], *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _parsed(text: str) -> list[Manifest]:
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def render(values: str, *sets: str, upgrade: bool = False) -> list[Manifest]:
    """The manifests of a release called `plant` with one of `VALUES` by name and `--set` on top; not to be changed."""
    return _parsed(_rendered(values, sets, upgrade))


def refusal(*sets: str, values: str = "minimal") -> str:
    """What Helm says to values that it must not take."""
    options = [part for each in sets for part in ("--set", each)]
    code, said = helm("template", "plant", CHART, "--values", VALUES[values], *options)
    assert code != 0, f"{sets} was taken"
    return said


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one manifest of that kind and name."""
    (found,) = (each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def of_role(manifests: list[Manifest], role: str) -> Manifest:
    """The Deployment or StatefulSet of `role`."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] in {"Deployment", "StatefulSet"} and each["metadata"]["name"] == f"plant-powerflock-{role}"
    )
    return found


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and pod specification of everything that runs."""
    for each in manifests:
        if each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]
        elif each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def settings(manifests: list[Manifest], role: str) -> dict[str, dict[str, object]]:
    """A role's powerflock.toml, parsed."""
    return tomllib.loads(named(manifests, "ConfigMap", f"plant-powerflock-{role}")["data"]["powerflock.toml"])
