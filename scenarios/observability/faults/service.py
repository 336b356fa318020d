"""Faults of the service and of the processes beside it."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scenarios.observability.deployment import Deployment
from scenarios.observability.faults.fault import fault, threshold
from slipway import api_keys
from slipway.serving_state import follower_status
from slipway.settings import settings
from slipway.system.ports import free_port
from slipway.system.processes import Process

_SHORT_LIVED = "short-lived"


@fault("no server is a target any more", "SlipwayNoModelReady")
def no_targets(deployment: Deployment) -> Iterator[None]:
    deployment.servers.serve_from()
    yield
    deployment.servers.serve_from(deployment.services.ports["service"])


@fault("the service is stopped", "SlipwayServerDown")
def service_stopped(deployment: Deployment) -> Iterator[None]:
    deployment.stack.stop("service")
    yield
    deployment.start("service")


@fault("clients send nothing", "SlipwayNoTraffic")
def no_traffic(deployment: Deployment) -> Iterator[None]:
    deployment.load.stop()
    yield
    deployment.load.start()


@fault("a client sends an unknown feature", "SlipwayClientErrorsSurge")
def invalid_requests(deployment: Deployment) -> Iterator[None]:
    with deployment.load.invalid():
        yield


@fault("clients send requests of 1,000 rows", "SlipwayLatencyBudgetBurn")
def heavy_requests(deployment: Deployment) -> Iterator[None]:
    with deployment.load.heavy():
        yield


@fault("a server starts without its registry, from the bundle of its image", "SlipwayPackagedBundleServed")
def packaged_bundle(deployment: Deployment) -> Iterator[None]:
    process, port = _packaged_server(deployment)
    deployment.stack.start(process)
    deployment.servers.serve_from(deployment.services.ports["service"], port)
    yield
    deployment.servers.serve_from(deployment.services.ports["service"])
    deployment.stack.stop(process.name)


def _packaged_server(deployment: Deployment) -> tuple[Process, int]:
    """Describe a server like one in a container that cannot reach the registry, and return its port."""
    folder = deployment.services.var / "packaged"
    version = deployment.registry.aliased(deployment.name, "champion")
    assert version is not None
    deployment.registry.fetch_bundle(version, folder / "bundles" / deployment.name)
    port = free_port(deployment.services.ports["service"] + 1, deployment.services.ports.values())
    env = {
        **deployment.services.env,
        "SLIPWAY_VAR": str(folder / "var"),
        "SLIPWAY_PACKAGED": str(folder / "bundles"),
        "SLIPWAY_KEYS": str(settings().key_file.resolve()),
        "SLIPWAY_SERVICE_PORT": str(port),
        "SLIPWAY_START_WAIT_SECONDS": "1",
        "SLIPWAY_WORKERS": "1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    service, log = deployment.services.service([deployment.name]), deployment.services.var / "logs" / "packaged.log"
    url = f"http://127.0.0.1:{port}"
    return Process("packaged", service.argv, log, env, f"{url}/readyz", url), port


@fault("an API key ends tomorrow", "SlipwayCredentialExpires")
def key_ends(deployment: Deployment) -> Iterator[None]:
    path = settings().key_file
    api_keys.create(path, _SHORT_LIVED, ["read"], expires=datetime.now(UTC) + timedelta(days=1))
    yield
    api_keys.revoke(path, _SHORT_LIVED)


@fault("the watch may open few more files than it has open", "SlipwayOpenFilesHigh")
def few_files_left(deployment: Deployment) -> Iterator[None]:
    pid = deployment.pid("watch")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened * 100 // 88, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@fault("the follower is killed (threshold: 1 start)", "SlipwayRestartLoop")
def follower_killed(deployment: Deployment) -> Iterator[None]:
    deployment.set_thresholds(slipway_process_starts=1)
    status = follower_status.read_status(deployment.services.serving, deployment.name)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    yield
    deployment.set_thresholds()


disk_and_memory = threshold(
    "thresholds of disk and memory are what is used",
    "SlipwayDiskFull",
    "SlipwayMemoryHigh",
    slipway_disk_free_critical_ratio=1.0,
    slipway_memory_bytes=1.0,
)
