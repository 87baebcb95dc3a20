"""A real Kubernetes control plane on loopback with SIMULATED nodes: pods are scheduled and evicted, never run.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; kwok plays the kubelets and says of
each pod that it is ready. Invariants: everything listens on 127.0.0.1 alone and ends with the fixture, etcd last.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.data import ROOT

BINARIES = ROOT / ".tools" / "kube"
TOKEN = "loopback-only"
ZONES = ("a", "b", "c")
NODES = tuple(f"node-{zone}{number}" for zone in ZONES for number in (1, 2))
CONTROL = "control-a1"
"""A node that takes no ordinary pod, as clusters have; it must not count where pods are spread over nodes."""
_PATIENCE_S = 120.0


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Cluster:
    """How to reach the cluster: Helm and kubectl with its kubeconfig."""

    folder: Path

    def run(self, *command: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command against the cluster, to whatever end."""
        own = {"KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(self.folder)}
        return subprocess.run(
            [str(part) for part in command], input=stdin, env=os.environ | own, capture_output=True, text=True,
            check=False, timeout=600,
        )  # fmt: skip

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl prints; an error is an `AssertionError` with its words."""
        done = self.run(BINARIES / "kubectl", *arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def helm(self, *arguments: str | Path) -> str:
        """What Helm prints; an error is an `AssertionError` with its words."""
        done = self.run(ROOT / ".tools" / "bin" / "helm", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that `kubectl get ARGUMENTS` lists."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "--output", "json"))["items"]
        return found

    def make_namespace(self, name: str) -> str:
        """Make a namespace that admits only restricted pods, and warns of what would make others."""
        self.kubectl("create", "namespace", name)
        standard = (f"pod-security.kubernetes.io/{what}=restricted" for what in ("enforce", "warn"))
        self.kubectl("label", "namespace", name, *standard)
        return name


@contextmanager
def process(folder: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in `folder` until the context ends. NAME.log takes all that it writes; a failure shows the last."""
    name = Path(command[0]).name
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=log, stderr=log)
        try:
            yield child
        except AssertionError as failed:
            failed.add_note(f"{name}: {Path(log.name).read_text(encoding='utf-8', errors='replace')[-3000:]}")
            raise
        finally:
            child.terminate()
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def until(true: Callable[[], bool], what: str, child: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for what `true` tells, which a `child` of `process` may have to bring about; its end is a failure then."""
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        assert child is None or child.poll() is None, f"{what} ended"
        assert time.monotonic() < deadline, f"{what} is not so after {_PATIENCE_S:g} s"
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _kubeconfig(port: int) -> str:
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{
            "name": "test", "cluster": {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True},
        }],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
    })  # fmt: skip


def _node(name: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": name[-2],
        "type": "kwok",
    }  # fmt: skip
    taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    room = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints if name == CONTROL else []},
        "status": {"allocatable": room, "capacity": room},
    }  # fmt: skip


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start everything, make the nodes, and end it all."""
    here, url = Cluster(folder), f"http://127.0.0.1:{free_port()}"
    peer, secure = f"http://127.0.0.1:{free_port()}", free_port()
    (folder / "kubeconfig").write_text(_kubeconfig(secure))
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    with ExitStack() as stack:
        etcd = stack.enter_context(process(
            folder, BINARIES / "server", f"--data-dir={folder}/etcd", f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}", "--unsafe-no-fsync",
        ))  # fmt: skip
        until(lambda: _answers(f"{url}/health"), "etcd is ready", etcd)
        api = stack.enter_context(process(
            folder, BINARIES / "kube-apiserver", f"--etcd-servers={url}", "--bind-address=127.0.0.1",
            f"--secure-port={secure}", f"--cert-dir={folder}/certificates", "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-key-file={folder}/sa.key", f"--service-account-signing-key-file={folder}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
        ))  # fmt: skip
        kubectl = BINARIES / "kubectl"
        until(lambda: here.run(kubectl, "get", "--raw", "/readyz").returncode == 0, "kube-apiserver is ready", api)
        config = f"--kubeconfig={folder}/kubeconfig"
        stack.enter_context(process(
            folder, BINARIES / "kube-controller-manager", config, f"--service-account-private-key-file={folder}/sa.key",
            "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={free_port()}",
            f"--cert-dir={folder}/certificates",
        ))  # fmt: skip
        stack.enter_context(process(
            folder, BINARIES / "kube-scheduler", config, "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}", f"--cert-dir={folder}/certificates",
        ))  # fmt: skip
        stages = [
            BINARIES / "stages" / name
            for name in (
                "node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                "pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml",
            )
        ]  # fmt: skip
        stack.enter_context(process(
            folder, BINARIES / "kwok", config, "--manage-all-nodes=true", "--node-lease-duration-seconds=40",
            *(f"--config={stage}" for stage in stages),
        ))  # fmt: skip
        here.kubectl("create", "--filename", BINARIES / "crds")
        here.kubectl(
            "apply", "--filename", "-", stdin="\n---\n".join(json.dumps(_node(name)) for name in (CONTROL, *NODES))
        )
        here.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=120s")
        here.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=120s")
        yield here
