"""Lock of an environment: one deployment at a time. A ConfigMap holds it, which expires if its holder dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from infra.delivery.deployment.cluster import Cluster
from infra.delivery.program import ProgramFailed
from slipway.errors import RunLocked
from slipway.timestamps import iso, parse

NAME = "delivery-lock"
POLL_SECONDS = 5.0
_TAKEN = ("AlreadyExists", "Conflict", "NotFound")  # Kubernetes' reasons for losing a race, in kubectl's messages


@dataclass(frozen=True)
class Lock:
    """The lock as the cluster has it; `revision` is that of its ConfigMap."""

    holder: str
    expires: datetime
    revision: str

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Lock:
        """Read the ConfigMap."""
        data = manifest["data"]
        return cls(data["holder"], parse(data["expires"]), manifest["metadata"]["resourceVersion"])


class Step(Enum):
    """What a deployment does next to get the lock."""

    CREATE = "create"
    REPLACE = "replace"
    WAIT = "wait"


def next_step(current: Lock | None, holder: str, now: datetime) -> Step:
    """Decide: a free lock is created, and one that expired, or that this run left at an earlier attempt, replaced."""
    if current is None:
        return Step.CREATE
    return Step.REPLACE if current.holder == holder or current.expires <= now else Step.WAIT


@contextmanager
def held(cluster: Cluster, holder: str, lasts: float, wait: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the cluster's namespace for the block, for at most `lasts` seconds.

    Raises:
        RunLocked: another deployment had it all the time, for `wait` seconds.
    """
    acquire(cluster, holder, lasts, wait, say)
    try:
        yield
    finally:
        release(cluster, holder)


def acquire(cluster: Cluster, holder: str, lasts: float, wait: float, say: Callable[[str], None]) -> None:
    """Acquire the lock. Raises RunLocked as `held` does."""
    deadline = time.monotonic() + wait
    announced = ""
    while True:
        current, now = _read(cluster), datetime.now(UTC)
        step = next_step(current, holder, now)
        if step is not Step.WAIT and _write(cluster, step, current, holder, now + timedelta(seconds=lasts)):
            return
        if current and step is Step.WAIT:
            if announced != current.holder:
                say(f"waiting for {current.holder}, which is deploying to the namespace {cluster.namespace}")
                announced = current.holder
            if time.monotonic() > deadline:
                raise RunLocked(
                    f"{current.holder} is deploying to the namespace {cluster.namespace}, and has not ended in "
                    f"{wait:.0f} s. If it died, its lock expires at {current.expires:%H:%M} UTC; or remove it: "
                    f"kubectl --namespace {cluster.namespace} delete configmap {NAME}"
                )
            time.sleep(POLL_SECONDS)


def release(cluster: Cluster, holder: str) -> None:
    """Release the lock, unless it expired and another deployment has it."""
    current = _read(cluster)
    if current and current.holder == holder:
        cluster.run("delete", "configmap", NAME, "--ignore-not-found")


def _read(cluster: Cluster) -> Lock | None:
    found = cluster.run("get", "configmap", NAME, "--ignore-not-found", "--output", "json")
    return Lock.of(json.loads(found)) if found.strip() else None


def _write(cluster: Cluster, step: Step, current: Lock | None, holder: str, expires: datetime) -> bool:
    """Create or replace the lock; returns False if somebody else was faster."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, **({"resourceVersion": current.revision} if current else {})},
        "data": {"holder": holder, "expires": iso(expires, "seconds")},
    }
    try:
        cluster.run(step.value, "--filename", "-", stdin=json.dumps(manifest))
    except ProgramFailed as error:
        if any(f"({reason})" in error.output for reason in _TAKEN):
            return False
        raise
    return True
