"""Faults of the registry, of what is in it, and of rollouts."""

from __future__ import annotations

from collections.abc import Iterator

from scenarios.harness.waiting import until
from scenarios.observability.deployment import Deployment
from scenarios.observability.faults.fault import fault
from slipway.contracts.registry_names import BUNDLE_SHA256, CHAMPION

_WAIT = ("--wait", "40")
_REVERTED_SECONDS = 20.0


@fault("MLflow is stopped", "SlipwayRegistryUnreachable")
def registry_stopped(deployment: Deployment) -> Iterator[None]:
    deployment.stack.stop("mlflow")
    yield
    deployment.start("mlflow")


@fault("the digest of a version is changed in the registry", "SlipwayVersionAltered")
def version_altered(deployment: Deployment) -> Iterator[None]:
    registry, name, version = deployment.registry, deployment.name, deployment.damaged
    digest = registry.version(name, version).digest or ""
    registry.set_version_tag(name, version, BUNDLE_SHA256, digest[::-1])
    yield
    registry.set_version_tag(name, version, BUNDLE_SHA256, digest)


@fault("a version whose network is cut off is promoted", "SlipwaySwapFailed")
def damaged_version(deployment: Deployment) -> Iterator[None]:
    before = deployment.champion
    deployment.promote(deployment.damaged)
    yield
    if not until(lambda: deployment.champion == before, _REVERTED_SECONDS):  # by the watch
        deployment.registry.set_alias(deployment.name, CHAMPION, before)


@fault("a version is deleted", "SlipwayVersionDeleted")
def version_deleted(deployment: Deployment) -> Iterator[None]:
    from mlflow import MlflowClient

    uri = deployment.registry.uri
    MlflowClient(uri, uri).delete_model_version(deployment.name, deployment.damaged)
    yield


@fault("a champion fails on one row in eighteen", "SlipwayErrorBudgetBurn")
def failing_champion(deployment: Deployment) -> Iterator[None]:
    deployment.promote(deployment.faulty, *_WAIT)
    yield
    deployment.roll_back(*_WAIT)


@fault("a canary stays in its first stage (threshold: 5 s)", "SlipwayRolloutStalled")
def canary_stalled(deployment: Deployment) -> Iterator[None]:
    deployment.set_thresholds(slipway_rollout_stage_seconds=5)
    deployment.promote(deployment.faulty, "--alias", "canary")
    yield
    deployment.set_thresholds()


@fault("a canary is rolled back", "SlipwayCanaryRolledBack")
def canary_rolled_back(deployment: Deployment) -> Iterator[None]:
    deployment.roll_back()
    yield
