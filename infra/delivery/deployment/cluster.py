"""Client of the cluster that KUBECONFIG names, by kubectl, so that a reader can repeat every step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.delivery.program import COMMAND_SECONDS, ProgramFailed, run
from slipway.errors import ServiceError

POLL_SECONDS = 0.5
STALE_SECONDS = 20.0  # less than any deadline of a rollout
EXCEEDED = "exceeded its progress deadline"


class Cluster:
    """One namespace of the cluster. Every method raises ServiceError with kubectl's message if it fails."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *args: str, stdin: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
        """Run kubectl in the namespace and return its output."""
        return run("kubectl", "--namespace", self.namespace, *args, stdin=stdin, seconds=seconds)

    def apply_kustomization(self, folder: Path) -> None:
        """Apply the objects of a kustomization, each in the namespace that it names."""
        run("kubectl", "apply", "--kustomize", str(folder.resolve()))

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
        """Wait until every pod of the deployment is new and ready.

        That the rollout before exceeded its deadline is reported until Kubernetes has seen to the new one.
        """
        stale = time.monotonic() + STALE_SECONDS
        command = ("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds:.0f}s")
        while True:
            try:
                self.run(*command, seconds=seconds + 30)
                return
            except ProgramFailed as error:
                if EXCEEDED not in error.output or time.monotonic() > stale:
                    raise
                time.sleep(POLL_SECONDS)


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
