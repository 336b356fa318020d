"""Pods of the scenario itself, clients and log readers, under the same restrictions as all others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.kubernetes.cluster import Cluster, wait_until
from slipway.errors import ServiceError

HERE = Path(__file__).parent
SCRIPTS = "trial"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def scripts() -> dict[str, Any]:
    """Build the ConfigMap with the scripts that the pods run."""
    files = {name: (HERE / name).read_text() for name in ("load_generator.py", "log_query.py")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SCRIPTS}, "data": files}


def pod(
    name: str, role: str, image: str, argv: Sequence[str], volumes: Mapping[str, tuple[str, Any]]
) -> dict[str, Any]:
    """Build a pod that runs a script once.

    `role` is its name to the network policies; `volumes` maps a volume's name to its mount path and source.
    """
    volumes = {
        "scripts": ("/trial", {"configMap": {"name": SCRIPTS}}),
        "tmp": ("/tmp", {"emptyDir": {"sizeLimit": "64Mi"}}),
        **volumes,
    }
    container = {
        "name": "script",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", *argv],
        "env": [{"name": "SLIPWAY_API_KEY", "valueFrom": {"secretKeyRef": {"name": "slipway", "key": "api-key"}}}],
        "envFrom": [{"configMapRef": {"name": "slipway"}}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, (path, _) in volumes.items()],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": role, "app.kubernetes.io/part-of": "slipway"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": UNPRIVILEGED,
            "containers": [container],
            "volumes": [{"name": volume, **source} for volume, (_, source) in volumes.items()],
        },
    }


def phase(cluster: Cluster, name: str) -> str:
    """Return the phase of a pod; "" if it has none yet."""
    return cluster.get("pod", name)["status"].get("phase", "")


def result(cluster: Cluster, name: str, seconds: float) -> Any:
    """Wait for the end of the pod and parse the last line of its log as JSON.

    Raises:
        ServiceError: the pod failed.
    """
    ended = wait_until(f"the pod {name} ends", lambda: _final(phase(cluster, name)), seconds)
    lines = cluster.run("logs", name).strip().splitlines()
    if ended != "Succeeded":
        raise ServiceError(f"the pod {name} failed: {' '.join(lines[-3:])}")
    return json.loads(lines[-1])


def _final(phase: str) -> str:
    return phase if phase in ("Succeeded", "Failed") else ""
