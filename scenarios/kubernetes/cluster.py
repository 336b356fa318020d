"""Client of the cluster that KUBECONFIG names, by kubectl, so that a reader can repeat every step."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.errors import ServiceError

COMMAND_SECONDS = 120.0
POLL_SECONDS = 0.5


class Cluster:
    """One namespace of the cluster. Every method raises ServiceError with kubectl's message if it fails."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *args: str, stdin: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
        """Run kubectl in the namespace and return its output."""
        return _kubectl("--namespace", self.namespace, *args, stdin=stdin, seconds=seconds)

    def apply_kustomization(self, folder: Path) -> None:
        """Apply the objects of a kustomization, each in the namespace that it names."""
        _kubectl("apply", "--kustomize", str(folder))

    def get(self, *args: str) -> Any:
        """Get an object, or a list of objects, as parsed JSON."""
        return json.loads(self.run("get", *args, "--output", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply the objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "--filename", "-", stdin=json.dumps(listed))

    def has_namespace(self) -> bool:
        """Tell whether the namespace exists."""
        return bool(self.run("get", "namespace", self.namespace, "--ignore-not-found", "--output", "name").strip())

    def wait_for_rollout(self, deployment: str, seconds: float) -> None:
        """Wait until every pod of the deployment is new and ready."""
        wait = f"--timeout={seconds:.0f}s"
        self.run("rollout", "status", f"deployment/{deployment}", wait, seconds=seconds + 30)

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


def wait_until(what: str, condition: Callable[[], Any], seconds: float) -> Any:
    """Wait until the condition is truthy and return its value.

    Raises:
        ServiceError: it is not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: not within {seconds:.0f} s.")
        time.sleep(POLL_SECONDS)
    return value


def names(pods: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sorted names of the pods."""
    return sorted(pod["metadata"]["name"] for pod in pods)


def _kubectl(*args: str, stdin: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
    command = ["kubectl", *args]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise ServiceError("kubectl is not installed: see https://kubernetes.io/docs/tasks/tools/.") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"`{' '.join(command)}` did not end within {seconds:.0f} s.") from None
    if done.returncode:
        raise ServiceError(f"`{' '.join(command[:6])} …` failed: {done.stderr.strip()[-500:]}")
    return done.stdout
