"""Checks of a release that demo and closed loop share: a version became the challenger, and the service serves it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from scenarios.harness.checks import Check
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.clients.service import ServiceClient
from slipway.contracts.registry_names import CHALLENGER, GATE
from slipway.errors import ServiceError
from slipway.local import LocalServices
from slipway.settings import settings

SETTLE_SECONDS = 40.0


def check_challenger(registry: Registry, name: str) -> tuple[ModelVersion, Check]:
    """Return the newest version, and the check that its gates made it the challenger."""
    newest, alias = registry.versions(name)[0], registry.model(name).aliases.get(CHALLENGER)
    gate = newest.tags.get(GATE, "no verdict")
    held = gate.startswith("passed") and alias == newest.version
    return newest, Check(name, f"version {newest.version} registered", held, f"gates {gate}, challenger is {alias}")


def check_served(services: LocalServices, name: str, version: str) -> Check:
    """Check that every worker of the service serves the version, as soon as all of them have started."""
    expected = [version] * (settings().workers or len(os.sched_getaffinity(0)))

    def workers() -> tuple[bool, str]:
        metadata = model_metadata(services.url("service"), name)
        versions = [worker["version"] for worker in metadata["workers"]]
        data = "synthetic data" if metadata.get("synthetic") else "real data"
        serving = f"version {metadata['version']} in {versions.count(version)} of {len(expected)} workers"
        return versions == expected, f"{serving}, trained on {data}"

    return Check(name, "served", *eventually(workers))


def model_metadata(url: str, name: str) -> dict:
    """Fetch the model metadata from the service at `url`.

    Raises:
        ServiceError: the service does not respond, or not with 200.
    """
    client = ServiceClient(url)
    try:
        response = client.get(f"/v1/models/{name}")
    finally:
        client.close()
    if not response.ok:
        raise ServiceError(f"{client.url} answered {response.problem} to GET /v1/models/{name}.")
    return response.read(dict)


def eventually(probe: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    """Repeat the probe every second until it holds or SETTLE_SECONDS are over, and return its last result."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (result := probe())[0] and time.monotonic() < deadline:
        time.sleep(1.0)
    return result
