"""Real API server that validates manifests by dry runs, without keeping anything."""

from __future__ import annotations

import copy
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.infra.kubernetes.manifests import Manifest, of_kind

OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CLUSTER_WIDE = {"Namespace", "PersistentVolume", "PriorityClass"}


def kubectl(*args: str, given: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *args], input=given, capture_output=True, text=True, timeout=timeout, check=False)


@dataclass
class DryRunResult:
    """Answer of the API server: the number of `accepted` manifests, and its messages."""

    accepted: int
    messages: str = ""


@dataclass
class Namespaces:
    """Namespaces of this test in place of those in the manifests, with the same labels; deleted at its end."""

    prefix: str = field(default_factory=lambda: f"slipway-test-{secrets.token_hex(3)}")
    made: list[str] = field(default_factory=list)

    def dry_run(self, manifests: list[Manifest]) -> DryRunResult:
        for namespace in of_kind(manifests, "Namespace"):
            self._make(namespace)
        moved = "---\n".join(yaml.safe_dump(self._moved(manifest)) for manifest in manifests)
        answer = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=moved)
        return DryRunResult(answer.stdout.count("(server dry run)"), answer.stderr)

    def enforce(self, manifests: list[Manifest]) -> None:
        """Create quotas and ranges of limits for real, and wait until they are enforced."""
        for namespace in of_kind(manifests, "Namespace"):
            self._make(namespace)
        for kept in of_kind(manifests, "LimitRange", "ResourceQuota"):
            moved = self._moved(kept)
            answer = kubectl("create", "-f", "-", given=yaml.safe_dump(moved))
            assert answer.returncode == 0, answer.stderr
            if kept["kind"] == "ResourceQuota":
                place = ("--namespace", moved["metadata"]["namespace"], f"resourcequota/{moved['metadata']['name']}")
                kubectl("wait", "--for=jsonpath={.status.hard.pods}", *place, "--timeout=60s")

    def end(self) -> None:
        for name in self.made:
            kubectl("delete", "namespace", name, "--wait=false")

    def _name(self, namespace: str) -> str:
        return f"{self.prefix}-{namespace}"

    def _make(self, namespace: Manifest) -> None:
        name = self._name(namespace["metadata"]["name"])
        if name in self.made:
            return
        labels = namespace["metadata"]["labels"]
        given = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        answer = kubectl("create", "-f", "-", given=yaml.safe_dump(given))
        assert answer.returncode == 0, answer.stderr
        self.made.append(name)

    def _moved(self, manifest: Manifest) -> Manifest:
        moved = copy.deepcopy(manifest)
        if manifest["kind"] in CLUSTER_WIDE:
            moved["metadata"]["name"] = f"{self.prefix}-once-{manifest['metadata']['name']}"
        else:
            moved["metadata"]["namespace"] = self._name(manifest["metadata"]["namespace"])
        return moved


def operator_definitions() -> list[Path]:
    """The Prometheus Operator's custom resource definitions, as its Go module publishes them."""
    command = ["go", "mod", "download", "-json", OPERATOR]
    got = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert got.returncode == 0, got.stdout + got.stderr
    folder = Path(json.loads(got.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    kinds = ("podmonitors", "prometheusrules", "servicemonitors")
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in kinds]


@contextmanager
def installed(definitions: list[Path]) -> Iterator[None]:
    """Install the definitions for the block; those that existed before stay."""
    named = {path: f"{path.stem.partition('_')[2]}.monitoring.coreos.com" for path in definitions}
    missing = [path for path, name in named.items() if kubectl("get", "crd", name).returncode]
    for path in missing:
        answer = kubectl("create", "-f", str(path))
        assert answer.returncode == 0, answer.stderr
    try:
        for name in named.values():
            kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
        yield
    finally:
        for path in missing:
            kubectl("delete", "crd", named[path], "--timeout=60s")
