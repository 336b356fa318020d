"""The smoke test of a service as a Job in its cluster (infra/kubernetes/smoke)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infra.delivery.deployment.cluster import Cluster, wait_until
from slipway.errors import ServiceError

NAME = "smoke"
SECONDS = 200.0  # the Job's own deadline is 180 s
_LAST_LINES = 5


def run(cluster: Cluster, folder: Path) -> str:
    """Run the Job of a kustomization and return the last line of its log.

    Raises:
        ServiceError: a check of it failed, or it did not end.
    """
    cluster.run("delete", "job", NAME, "--ignore-not-found")  # a Job cannot be changed
    cluster.apply_kustomization(folder)
    log: list[str] = []

    def ended() -> bool:
        status = cluster.get("job", NAME)["status"]
        if status.get("succeeded") or status.get("failed"):
            log[:] = cluster.run("logs", f"job/{NAME}").strip().splitlines()
        return bool(log)

    wait_until("the smoke test ends", ended, SECONDS)
    if not cluster.get("job", NAME)["status"].get("succeeded"):
        raise ServiceError(f"the smoke test failed: {failures(log)}")
    return log[-1]


def failures(log: Sequence[str]) -> str:
    """Return the checks that failed, in the smoke test's own words; without any, the last lines of its log.

    >>> failures(["ok        live", "failed    loans   latency   73 ms", "http://serving:3000: failed, 1 of 2 checks"])
    'loans latency 73 ms'
    """
    failed = [" ".join(line.split()[1:]) for line in log if line.startswith("failed")]
    return "; ".join(failed) or " ".join(log[-_LAST_LINES:])
