"""Training as a flow run of a Prefect work pool, if the pool has the code of this commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import Deployment, FlowRun, PrefectClient
from slipway.errors import NotFound, ServiceError

FLOW = "train"
ENDED_BADLY = ("FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Choice:
    """Whether the work pool trains, and why."""

    in_pool: bool
    reason: str


def choose(deployment: Deployment | None, code: str) -> Choice:
    """Choose where to train; `code` is the digest of this commit's training code and use case."""
    if deployment is None:
        return Choice(False, "Prefect has no deployment of it yet")
    if not deployment.work_pool_name:
        return Choice(False, "its deployment is in no work pool")
    if deployment.version != code:
        return Choice(False, f"the work pool {deployment.work_pool_name} runs other code than this commit's")
    return Choice(True, f"the work pool {deployment.work_pool_name} runs this commit's code")


def train_in_pool(prefect: PrefectClient, registry: Registry, usecase: str, say: Callable[[str], None]) -> str:
    """Train in the pool and return the number of the version that was registered.

    Raises:
        ServiceError: the flow run failed, or registered nothing.
    """
    deployment = f"{FLOW}/{usecase}"
    run_id = prefect.start(deployment, {}, key=_key(prefect, usecase, os.environ))
    say(f"training as the flow run {run_id} of {deployment}")
    ended = prefect.wait({usecase: run_id}, say)[usecase]
    if not ended.completed:
        raise ServiceError(f"the flow run {run_id} of {deployment} ended {ended.state}: {ended.message}")
    return _registered(registry, usecase, ended)


def _key(prefect: PrefectClient, usecase: str, environment: Mapping[str, str]) -> str | None:
    """Return the key under which a workflow that runs again finds the run that it started before.

    One that ended badly is not found again: the next attempt starts another.
    """
    number = environment.get("GITHUB_RUN_ID")
    if number is None:
        return None
    key = f"delivery-{number}-{usecase}"
    found = prefect.with_key(key)
    if found and found.state in ENDED_BADLY:
        return f"{key}-{environment.get('GITHUB_RUN_ATTEMPT', '1')}"
    return key


def _registered(registry: Registry, usecase: str, run: FlowRun) -> str:
    """Find the version that the run registered: a pool runs one training of a use case at a time."""
    if run.created is None:
        raise ServiceError(f"Prefect does not say when the flow run {run.id} was created.")
    started_ms = run.created.timestamp() * 1000
    try:
        found = [version for version in registry.versions(usecase) if version.created_ms >= started_ms]
    except NotFound:
        found = []
    if not found:
        raise ServiceError(
            f"the flow run {run.id} completed, and {registry.uri} has no version of {usecase} from it: do "
            "MLFLOW_TRACKING_URI here and in the work pool name the same server?"
        )
    return found[0].version
