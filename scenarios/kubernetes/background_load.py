"""Background load on the service, from a pod in the cluster, during a disruption."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scenarios.kubernetes import pods
from scenarios.kubernetes.cluster import Cluster, wait_until
from scenarios.kubernetes.installation import SERVICE_PORT, SERVING, USECASE

RATE = 50  # requests/s
STOP = "/tmp/stop"
START_SECONDS = 60
END_SECONDS = 60
FLOW_SECONDS = 3.0  # of undisturbed load before and after the disruption


@dataclass
class BackgroundLoad:
    """Outcome of the requests during one disruption; `failed` maps a request's number to the reason."""

    prefix: str
    sent: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    opened_again: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @property
    def answered(self) -> set[int]:
        """Numbers of the requests that were answered."""
        return set(range(self.sent)) - set(self.failed)

    def summary(self) -> str:
        """Describe failures and latency in one line."""
        times = f"p50 {self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms"
        why = f" ({'; '.join(sorted(set(self.failed.values()))[:2])})" if self.failed else ""
        return f"{len(self.failed)} of {self.sent} failed{why}, {times}"


@contextmanager
def under_load(cluster: Cluster, image: str, prefix: str, rate: int = RATE) -> Iterator[BackgroundLoad]:
    """Send requests during the `with` block and FLOW_SECONDS around it, and fill in their outcome at the end.

    The pod that sends them runs the serving image `image`.
    """
    name = f"trial-load-{prefix}"
    url = f"http://{SERVING}:{SERVICE_PORT}"
    argv = ["/trial/load_generator.py", url, USECASE, prefix, str(rate), STOP]
    cluster.apply(pods.scripts(), pods.pod(name, "smoke", image, argv, {}))
    load = BackgroundLoad(prefix)
    try:
        wait_until(f"the pod {name} runs", lambda: pods.phase(cluster, name) == "Running", START_SECONDS)
        time.sleep(FLOW_SECONDS)
        yield load
        time.sleep(FLOW_SECONDS)
        cluster.run("exec", name, "--", "touch", STOP)
        result = pods.result(cluster, name, END_SECONDS)
        load.failed = {int(number): reason for number, reason in result.pop("failed").items()}
        vars(load).update(result)
    finally:
        cluster.run("delete", "pod", name, "--ignore-not-found", "--wait=false")
