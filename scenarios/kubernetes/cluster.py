"""The cluster of the scenario: besides what a delivery does with it, pods are watched and ports forwarded."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infra.delivery.deployment.cluster import POLL_SECONDS, wait_until
from infra.delivery.deployment.cluster import Cluster as KubectlCluster
from slipway.errors import ServiceError

__all__ = ["POLL_SECONDS", "Cluster", "names", "ready", "wait_until"]


class Cluster(KubectlCluster):
    """One namespace of the cluster. Every method raises ServiceError with kubectl's message if it fails."""

    def pods(self, name: str) -> list[dict[str, Any]]:
        """List the pods with the name, except those that are terminating."""
        found = self.get("pods", "--selector", f"app.kubernetes.io/name={name}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @contextmanager
    def forward(self, target: str, port: int, local: int = 0) -> Iterator[str]:
        """Forward a port of a pod or service (`service/mlflow`) and provide its local URL; `local` 0: any free port."""
        command = ["kubectl", "--namespace", self.namespace, "port-forward", target, f"{local or ''}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forwarding:
            try:
                line = forwarding.stdout.readline() if forwarding.stdout else ""
                found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line)
                if not found:
                    forwarding.terminate()
                    raise ServiceError(f"{target} cannot be reached: {forwarding.communicate()[1].strip()[-300:]}")
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                forwarding.terminate()


def ready(pod: dict[str, Any]) -> bool:
    """Tell whether the pod is ready."""
    conditions = pod["status"].get("conditions", ())
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def names(pods: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sorted names of the pods."""
    return sorted(pod["metadata"]["name"] for pod in pods)
