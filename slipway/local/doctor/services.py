"""Checks of what runs: servers, use cases, pointers against the registry, and unsafe settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from slipway import config
from slipway.clients.http import is_healthy, without_login
from slipway.clients.mlflow.registry import Registry
from slipway.contracts import registry_names
from slipway.errors import NotFound, RegistryError, SlipwayError
from slipway.local.doctor.diagnosis import Diagnosis, error, ok, warning
from slipway.serving_state import desired, follower_status
from slipway.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def servers(settings: Settings) -> Iterator[Diagnosis]:
    """Check that MLflow and Prefect respond."""
    fix = "`slipway up` starts it; `slipway train` starts one for its own time"
    for name, address, health in (
        ("MLflow", settings.registry_uri, f"{settings.registry_uri}/health"),
        ("Prefect", settings.prefect_uri, f"{settings.prefect_uri}/health"),
    ):
        if is_healthy(health):
            yield ok(name, f"answers at {without_login(address)}")
        else:
            yield warning(name, f"does not respond at {without_login(address)}", fix)


def use_cases() -> Iterator[Diagnosis]:
    """Check each `usecase.yaml`."""
    for name in config.names():
        try:
            loaded = config.load(name)
            yield ok("use cases", f"{name}: {loaded.task}, {len(loaded.features)} features")
        except SlipwayError as problem:
            yield error("use cases", str(problem), f"correct usecases/{name}/usecase.yaml")


def agreement(settings: Settings) -> Iterator[Diagnosis]:
    """Check that each pointer names the version that has the alias in the registry."""
    try:
        registry = Registry()
    except RegistryError as problem:
        yield error("MLflow", str(problem), "correct MLFLOW_TRACKING_URI")
        return
    served = sorted(path.parent.name for path in settings.serving.glob("*/pointer.json"))
    if not served:
        yield ok("serving", "no pointer yet: nothing was served from this folder")
    elif not registry.alive():
        yield warning(
            "serving", "the registry does not respond, so nothing to compare the pointers with", "`slipway up`"
        )
    else:
        for name in served:
            yield _agreement(settings, registry, name)


def _agreement(settings: Settings, registry: Registry, name: str) -> Diagnosis:
    alias = settings.follow_alias
    digest = (desired.read(settings.serving, name) or desired.DesiredState(0)).champion
    try:
        aliased = registry.aliased(name, alias)
    except NotFound:
        aliased = None
    if aliased is None:
        return warning("serving", f"{name}: the registry has no {alias}", f"slipway promote {name}")
    if digest == aliased.digest:
        return ok("serving", f"{name}: version {aliased.version} is {alias} and what the pointer names")
    refusal = follower_status.read_refusals(settings.serving, name).get(aliased.version)
    if refusal:
        return warning(
            "serving", f"{name}: version {aliased.version} was refused: {refusal.reason}", "promote another version"
        )
    return warning(
        "serving",
        f"{name}: version {aliased.version} is {alias}, the pointer names {str(digest)[:12]}",
        "start a follower: `slipway serve` has one, or `slipway follow`",
    )


def aliases(settings: Settings) -> Iterator[Diagnosis]:
    """Check for aliases that differ from Slipway's in case only."""
    with suppress(RegistryError):  # what is wrong with it is found above
        registry = Registry()
        for model in registry.models() if registry.alive() else ():
            for found in registry_names.describe_lookalikes(model.aliases, settings.follow_alias):
                yield warning(
                    "aliases", f"{model.name}: {found}", f"MLflow's page, or `slipway promote {model.name} VERSION`"
                )


def unsafe(settings: Settings) -> Iterator[Diagnosis]:
    """Check for settings that are allowed but unsafe unless they are meant."""
    found = [*_unsafe_settings(settings), *_unsafe_variables()]
    for detail, fix in found:
        yield warning("settings", detail, fix)
    if not found:
        yield ok("settings", "none is unsafe")


def _unsafe_settings(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each unsafe setting with its fix."""
    if settings.insecure:
        detail = "SLIPWAY_INSECURE=true: everybody who reaches the service may use it"
        yield detail, "unset it, or keep it off a network"
    elif settings.host not in LOOPBACK:
        yield f"SLIPWAY_HOST={settings.host}: other machines can reach the service", "set SLIPWAY_HOST=127.0.0.1"
    if settings.status_host not in LOOPBACK:
        detail = f"SLIPWAY_STATUS_HOST={settings.status_host}: other machines can read the status page without a key"
        yield detail, "set SLIPWAY_STATUS_HOST=127.0.0.1"
    if settings.environment != "local" and settings.mask_key is None:
        detail = f"no SLIPWAY_MASK_KEY in environment {settings.environment}"
        yield detail, "set the secret that training uses, too"


def _unsafe_variables() -> Iterator[tuple[str, str]]:
    """Each unsafe variable of MLflow with its fix."""
    if os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "").lower() == "true":
        yield "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true: loading a model may run its code", "set it to false"
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        yield "MLFLOW_TRACKING_INSECURE_TLS=true: nobody checks who the registry is", "unset it"
