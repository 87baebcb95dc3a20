"""The chart as Helm renders it: valid to Kubernetes, hardened, and refusing what would not work."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import CUSTOM, ROLES, VALUES, Manifest, helm, named, of_role, pods, refusal, render, settings
from tests.deploy.tools import CHART

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the library imports is not ours to mend
    import kubernetes_validate

KUBERNETES = "1.37.0"
every_values_file = pytest.mark.parametrize("values", sorted(VALUES))


def validate(manifest: Manifest) -> None:
    """Against Kubernetes' own schema, unknown fields refused."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@every_values_file
def test_helm_finds_nothing_to_say(values: str) -> None:
    code, said = helm("lint", "--strict", CHART, "--values", VALUES[values])
    assert code == 0, said


@every_values_file
@pytest.mark.parametrize("upgrade", [False, True])
def test_every_manifest_is_valid_to_kubernetes(values: str, upgrade: bool) -> None:
    manifests = render(values, upgrade=upgrade)
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            validate(manifest)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names), "two manifests of one name"


def test_a_misspelt_field_is_noticed() -> None:
    broken = copy.deepcopy(of_role(render("minimal"), "twins"))
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(broken)


def test_every_option_is_rendered_somewhere() -> None:
    assert {each["kind"] for each in render("everything")} >= CUSTOM | {"HorizontalPodAutoscaler", "Ingress"}


@every_values_file
def test_no_pod_may_do_more_than_it_must(values: str) -> None:
    for name, spec in pods(render(values)):
        assert spec["automountServiceAccountToken"] is False, name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name
            writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
            assert writable <= {"/tmp", "/data"}, name


@every_values_file
def test_secrets_are_files_and_never_in_an_environment(values: str) -> None:
    for name, spec in pods(render(values)):
        for container in spec["containers"]:
            assert "envFrom" not in container, name
            assert not any("secretKeyRef" in each.get("valueFrom", {}) for each in container.get("env", [])), name


def test_a_role_gets_only_the_secrets_that_it_needs() -> None:
    manifests = render("minimal")
    mounted = {
        role: {
            volume["name"]
            for volume in of_role(manifests, role)["spec"]["template"]["spec"]["volumes"]
            if "secret" in volume or "projected" in volume
        }
        for role in ROLES
    }
    assert mounted == {
        "gateway": {"kafka", "devices"},
        "twins": {"kafka", "storage"},
        "autobidder": {"kafka", "storage"},
        "historian": {"kafka", "storage"},
        "api": {"kafka", "registry", "storage", "devices"},
    }
    volumes = of_role(manifests, "gateway")["spec"]["template"]["spec"]["volumes"]
    (devices,) = (volume["secret"] for volume in volumes if volume["name"] == "devices")
    assert [item["key"] for item in devices["items"]] == ["token-secret"], "enrolment is not the gateway's"


@every_values_file
@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_probed_drained_budgeted_and_spread(values: str, role: str) -> None:
    manifests = render(values)
    spec = of_role(manifests, role)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == [role]
    assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert spec["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"]
    labels = of_role(manifests, role)["spec"]["template"]["metadata"]["labels"]
    budget = named(manifests, "PodDisruptionBudget", f"plant-powerflock-{role}")["spec"]
    assert budget["maxUnavailable"] == 1
    for selector in (budget["selector"], *(each["labelSelector"] for each in spec["topologySpreadConstraints"])):
        assert selector["matchLabels"].items() <= labels.items()


def test_files_that_settings_name_are_mounted() -> None:
    for values in VALUES:
        manifests = render(values)
        for role in ROLES:
            (container,) = of_role(manifests, role)["spec"]["template"]["spec"]["containers"]
            mounts = [each["mountPath"] for each in container["volumeMounts"]]
            for section, fields in settings(manifests, role).items():
                for field, value in fields.items():
                    if field.endswith("_file"):
                        assert str(Path(str(value)).parent) in mounts, f"{role}: {section}.{field}"


@every_values_file
@pytest.mark.parametrize("role", ROLES)
def test_powerflock_itself_takes_the_settings(values: str, role: str, tmp_path: Path) -> None:
    from powerflock.settings import load

    file = tmp_path / "powerflock.toml"
    file.write_text(named(render(values), "ConfigMap", f"plant-powerflock-{role}")["data"]["powerflock.toml"])
    taken = {row.key: row.value for row in load(config=file).rows()}
    assert taken["process.port"] == 8742


def test_settings_reach_the_roles_with_their_types() -> None:
    manifests = render("production")
    assert settings(manifests, "twins")["network"] == {"feeder_import_limit_kw": 1500.0}
    assert settings(manifests, "gateway")["gateway"] == {"host": "0.0.0.0", "port": 8741, "batch_ms": 100}
    assert "gateway" not in settings(manifests, "twins"), "a role's own settings are its alone"
    assert settings(manifests, "api")["kafka"] == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "username": "plant-sa1",
        "password_file": "/run/secrets/powerflock/kafka/password", "ca_file": "/run/secrets/powerflock/kafka/ca.crt",
        "topic_prefix": "sa1.", "replication": 3, "min_insync_replicas": 2, "production": True,
    }  # fmt: skip


def test_changed_settings_restart_the_roles_that_read_them_and_no_other() -> None:
    def sums(*sets: str) -> dict[str, str]:
        manifests = render("minimal", *sets)
        return {
            role: of_role(manifests, role)["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for role in ROLES
        }

    before, after = sums(), sums("gateway.settings.gateway.batch_ms=20")
    assert {role for role in ROLES if before[role] != after[role]} == {"gateway"}


def test_gateways_are_numbered_by_their_pod() -> None:
    gateway = of_role(render("minimal"), "gateway")
    assert gateway["kind"] == "StatefulSet"
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    (number,) = (each for each in container["env"] if each["name"] == "POWERFLOCK_GATEWAY_NUMBER")
    assert number["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_consumers_never_outnumber_the_partitions() -> None:
    manifests = render("everything")
    assert named(manifests, "ScaledObject", "plant-powerflock-twins")["spec"]["maxReplicaCount"] == 12
    assert "replicas" not in of_role(manifests, "twins")["spec"], "the scaler's number would be undone by each upgrade"
    assert "twins.replicas is 65, more than plant.partitions, 64" in refusal("twins.replicas=65")


def _allowed(manifests: list[Manifest], role: str) -> tuple[list[Any], list[Any]]:
    policy = named(manifests, "NetworkPolicy", f"plant-powerflock-{role}")["spec"]

    def ports(rules: list[Manifest]) -> list[Any]:
        return [port["port"] for rule in rules for port in rule["ports"]]

    return ports(policy["ingress"]), ports(policy["egress"])


def test_the_network_is_closed_but_for_what_a_role_speaks() -> None:
    manifests = render("production")
    deny = named(manifests, "NetworkPolicy", "plant-powerflock-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    for _, labels in _labels(manifests):
        assert deny["podSelector"]["matchLabels"].items() <= labels.items()
    assert _allowed(manifests, "gateway") == (["health", "devices"], [9096])
    assert _allowed(manifests, "twins") == (["health", "health"], [9096, 443])
    assert _allowed(manifests, "autobidder") == (["health"], [9096, 443])
    assert _allowed(manifests, "api") == (["health", "http"], [9096, 5432, 443, "health"])


def _labels(manifests: list[Manifest]) -> list[tuple[str, dict[str, str]]]:
    return [
        (each["metadata"]["name"], (each["spec"].get("template", each))["metadata"]["labels"])
        for each in manifests
        if each["kind"] in {"Pod", "Deployment", "StatefulSet", "Job"}
    ]  # fmt: skip


def test_services_find_their_pods() -> None:
    manifests = render("everything")
    labels = dict(_labels(manifests))
    for service in (each for each in manifests if each["kind"] == "Service"):
        role = service["metadata"]["labels"]["app.kubernetes.io/component"]
        assert service["spec"]["selector"].items() <= labels[f"plant-powerflock-{role}"].items()
        (container,) = of_role(manifests, role)["spec"]["template"]["spec"]["containers"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {
            port["name"] for port in container["ports"]
        }


def test_the_schema_is_migrated_before_anything_new_runs() -> None:
    hook = named(render("minimal", upgrade=True), "Job", "plant-powerflock-migrate")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    first = named(render("everything"), "Job", "plant-powerflock-migrate-first")
    assert "annotations" not in first["metadata"], "before the install its database would not exist"


def test_with_strimzi_every_client_shows_a_certificate() -> None:
    manifests = render("everything")
    kafka = settings(manifests, "twins")["kafka"]
    assert kafka["security_protocol"] == "SSL"
    assert kafka["certificate_file"] == "/run/secrets/powerflock/kafka/tls.crt"
    assert named(manifests, "KafkaTopic", "plant-powerflock-telemetry")["spec"]["partitions"] == 12


def test_kafkas_version_is_strimzis_own_choice_unless_one_is_named() -> None:
    def kafka(*sets: str) -> Any:
        return named(render("everything", *sets), "Kafka", "plant-powerflock")["spec"]["kafka"]

    assert "version" not in kafka()
    assert kafka("strimzi.version=4.1.0")["version"] == "4.1.0"


def test_what_strimzi_is_asked_for_is_safe_by_powerflocks_own_judgement() -> None:
    from powerflock.compose.logs import BY_PARTITION
    from powerflock.log.kafka_topics import unsafe_broker, unsafe_topic

    def configured(config: dict[str, object]) -> dict[str, str]:
        return {key: str(value).lower() for key, value in config.items()}

    manifests = render("everything")
    topic = named(manifests, "KafkaTopic", "plant-powerflock-telemetry")["spec"]
    assert (
        list(unsafe_topic("telemetry", configured(topic["config"]), topic["replicas"], BY_PARTITION["telemetry"])) == []
    )
    assert (
        list(unsafe_broker(configured(named(manifests, "Kafka", "plant-powerflock")["spec"]["kafka"]["config"]))) == []
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("twin.replicas=3", "twin"),
        ("gateway.replica=3", "replica"),
        ("gateway.replicas=0", "replicas"),
        ("plant.partitions=2048", "partitions"),
        ("kafka.bootstrapServers=kafka", "bootstrapServers"),
        ("kafka.bootstrapServers=", "kafka.bootstrapServers is required"),
        ("storage.url=", "storage.url is required"),
        ("kafka.minInsyncReplicas=4", "kafka.minInsyncReplicas is 4, more than kafka.replication, 3"),
        ("settings.plant.partitions=8", "settings.plant.partitions is set by the chart"),
        ("api.ingress.enabled=true", "api.ingress.host is required"),
        ("twins.needs={storage}", "twins.needs must have kafka"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(value: str, said: str) -> None:
    assert said in refusal(value)


def test_the_chart_has_the_version_of_the_package() -> None:
    from powerflock import __version__

    assert f"appVersion: {__version__}" in (CHART / "Chart.yaml").read_text(encoding="utf-8")
