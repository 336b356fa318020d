"""Pods of the trial's own: clients and readers, under the same restrictions as all others in the namespace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.kubernetes.cluster import Cluster, until
from slipway.errors import ServiceError

HERE = Path(__file__).parent
SCRIPTS = "trial"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def scripts() -> dict[str, Any]:
    """What they run, as a ConfigMap."""
    files = {name: (HERE / name).read_text() for name in ("load_generator.py", "log_query.py")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SCRIPTS}, "data": files}


def pod(
    name: str, role: str, image: str, argv: Sequence[str], volumes: Mapping[str, tuple[str, Any]]
) -> dict[str, Any]:
    """A pod that runs a script once. `role` is its name to the network policies; `volumes` maps a name to
    the place where it is mounted and what it is."""
    volumes = {
        "scripts": ("/trial", {"configMap": {"name": SCRIPTS}}),
        "tmp": ("/tmp", {"emptyDir": {}}),
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
        "volumeMounts": [{"name": volume, "mountPath": place} for volume, (place, _) in volumes.items()],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": role, "app.kubernetes.io/part-of": "slipway"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": volume, **source} for volume, (_, source) in volumes.items()],
        },
    }


def phase(cluster: Cluster, name: str) -> str:
    return cluster.get("pod", name)["status"].get("phase", "")


def result(cluster: Cluster, name: str, seconds: float) -> Any:
    """What the pod's last line says, as JSON, when it has ended. Raises ServiceError where it failed."""
    ended = until(f"the pod {name} ends", lambda: _ended(phase(cluster, name)), seconds)
    lines = cluster.run("logs", name).strip().splitlines()
    if ended != "Succeeded":
        raise ServiceError(f"the pod {name} failed: {' '.join(lines[-3:])}")
    return json.loads(lines[-1])


def _ended(seen: str) -> str:
    return seen if seen in ("Succeeded", "Failed") else ""
