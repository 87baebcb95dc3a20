"""The Dockerfile and the compose file, read by the parsers that Docker itself uses, and held to what they promise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data import ROOT
from tests.deploy.tools import DEPLOY, run, tool

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
ROLES = {"gateway", "twins", "autobidder", "historian", "api"}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_buildkit_finds_nothing_to_say_about_the_dockerfile() -> None:
    done = run(tool("dockerfile-lint", made_by="containers"), stdin=DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (DOCKERFILE.replace("COPY . .", "COPPY . ."), "unknown instruction"),
        (DOCKERFILE.replace("${PYTHON}", "${PYTON}"), "UndefinedArgInFrom"),
        (DOCKERFILE.replace("AS build", "as build"), "FromAsCasing"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_noticed(wrong: str, said: str) -> None:
    done = run(tool("dockerfile-lint", made_by="containers"), stdin=wrong)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr


def test_what_is_copied_comes_from_a_stage_of_the_file() -> None:
    """BuildKit would take an unknown stage for the name of an image."""
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) == stages == {"build"}


def test_the_image_runs_as_a_number_and_names_no_architecture() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", last, re.MULTILINE)
    commands = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    assert not re.search(r"x86_64|amd64|aarch64|arm64|\bcurl\b|\bwget\b", commands)


def test_everything_that_the_wheel_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert sent == {"pyproject.toml", "uv.lock", "hatch_build.py", "README.md", "LICENSE", "src", "ui"}
    assert all((ROOT / name).exists() for name in sent)


def test_compose_itself_reads_the_file() -> None:
    done = run(tool("compose-check", made_by="containers"), DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) >= ROLES | {"kafka", "postgres", "s3", "demo-homes"}
    assert all(services[role]["command"] == [role] for role in ROLES)


@pytest.mark.parametrize(
    ("mistake", "said"), [({"imagge": "powerflock"}, "imagge"), ({"volumes": ["nowhere:/data"]}, "nowhere")]
)
def test_a_mistake_in_the_compose_file_is_noticed(mistake: dict[str, object], said: str, tmp_path: Path) -> None:
    wrong = compose()
    wrong["services"]["api"] |= mistake
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(wrong))
    done = run(tool("compose-check", made_by="containers"), file)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_services_wait_for_services_that_are_there() -> None:
    services = compose()["services"]
    awaited = {other for service in services.values() for other in service.get("depends_on", {})}
    assert awaited == {"keys", "kafka", "postgres", "s3", "registry-migrate", "gateway", "api"}
    assert awaited <= set(services)


def test_the_laptops_plant_is_reached_from_the_laptop_alone() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8741:8741", "127.0.0.1:8740:8740"]


def test_the_laptops_keys_are_made_there_and_agree() -> None:
    """The one script in the compose file, run by hand."""
    services = compose()["services"]
    (script,) = services["keys"]["command"]
    made = set(re.findall(r'"([a-z-]+)"', script)) & {
        "token-secret", "enrol-key", "access-key", "secret-key", "postgres", "registry-url",
    }  # fmt: skip
    read = set(re.findall(r"/keys/([a-z-]+)", json.dumps(services)))
    assert read == made
    compile(script, "keys", "exec")
