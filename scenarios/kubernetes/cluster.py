"""The cluster that KUBECONFIG names, by kubectl: what the trial does there, a person could type."""

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
FORWARD_SECONDS = 20.0
LOOK_SECONDS = 0.5


class Cluster:
    """One namespace of it. Every method raises ServiceError with kubectl's own words where it refuses."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *args: str, stdin: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
        return _kubectl("--namespace", self.namespace, *args, stdin=stdin, seconds=seconds)

    def apply_kustomization(self, folder: Path) -> None:
        """Its objects, each in the namespace that it names."""
        _kubectl("apply", "--kustomize", str(folder))

    def get(self, *args: str) -> Any:
        return json.loads(self.run("get", *args, "--output", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "--filename", "-", stdin=json.dumps(listed))

    def has_namespace(self) -> bool:
        return bool(self.run("get", "namespace", self.namespace, "--ignore-not-found", "--output", "name").strip())

    def rolled_out(self, deployment: str, seconds: float) -> None:
        """Return when every pod of the deployment is new and ready."""
        wait = f"--timeout={seconds:.0f}s"
        self.run("rollout", "status", f"deployment/{deployment}", wait, seconds=seconds + 30)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods that carry the name, those excepted that are being ended."""
        found = self.get("pods", "--selector", f"app.kubernetes.io/name={name}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @contextmanager
    def forward(self, target: str, port: int, local: int = 0) -> Iterator[str]:
        """The address here that leads to a port of a pod or service, as `service/mlflow`; `local` 0: any free port."""
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
    conditions = pod["status"].get("conditions", ())
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def until(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """What `look` gives, as soon as that is true. Raises ServiceError after the time."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: not within {seconds:.0f} s.")
        time.sleep(LOOK_SECONDS)
    return seen


def names(pods: Sequence[dict[str, Any]]) -> list[str]:
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
