"""Rendered manifests, with functions to select from them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[3] / "infra" / "kubernetes"
OVERLAYS = ("local", "staging", "production")
COMPONENTS = tuple(sorted(path.name for path in (FOLDER / "components").iterdir()))
ON_THEIR_OWN = ("smoke", "databases", "device-plugin")
POD_TEMPLATES = {"Deployment", "Job", "DaemonSet"}


def render(folder: Path) -> list[Manifest]:
    built = subprocess.run(["kustomize", "build", str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert not built.stderr, f"kustomize warns: {built.stderr}"
    return list(yaml.safe_load_all(built.stdout))


@dataclass(frozen=True)
class Pod:
    """A pod of a Deployment, a Job, a DaemonSet, or of a flow run."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name]
    return found


def pods(manifests: list[Manifest]) -> list[Pod]:
    """List every pod that the manifests define, including those of Prefect's flow runs."""
    found = [
        _pod(manifest["metadata"]["name"], manifest["metadata"]["namespace"], manifest["spec"]["template"])
        for manifest in manifests
        if manifest["kind"] in POD_TEMPLATES
    ]
    return found + [_pod("flow-run", "slipway", template) for template in _flow_runs(manifests)]


def _pod(name: str, namespace: str, template: Manifest) -> Pod:
    return Pod(name, namespace, template["metadata"]["labels"], template["spec"])


def _flow_runs(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Return the pod template of the work pool, each variable replaced by its default."""
    for manifest in of_kind(manifests, "ConfigMap"):
        if text := manifest["data"].get("job-template.yaml"):
            pool = yaml.safe_load(text)
            defaults = {name: entry.get("default") for name, entry in pool["variables"]["properties"].items()}
            yield _filled(pool["job_configuration"]["job_manifest"], defaults)["spec"]["template"]


def _filled(value: Any, defaults: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        filled = {key: _filled(entry, defaults) for key, entry in value.items()}
        return {key: entry for key, entry in filled.items() if entry is not None}
    if isinstance(value, list):
        return [_filled(entry, defaults) for entry in value]
    if isinstance(value, str) and value.startswith("{{ ") and value.endswith(" }}"):
        return defaults[value[3:-3]]
    return value
