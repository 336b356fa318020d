"""Replica of the audit trail: the same bytes as artifacts of a run in MLflow's experiment `audit/USECASE`.

Before a line is written, a mark `audit/ENVIRONMENT/USECASE/pending/ID` is written under SLIPWAY_LOG_URL, and removed
once the copy exists. So lines that were written while the registry was down are copied later, and a line with neither
mark nor copy is one whose copy was removed.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from slipway.clients.mlflow.documents import Run
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import audit_experiment
from slipway.errors import NotFound, RegistryError
from slipway.settings import Settings
from slipway.storage import object_store

_ENDING = ".json"
_PENDING = "pending"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_SECONDS = 3.0
_AT_ONCE = 8
_log = logging.getLogger("slipway.audit")


@dataclass(frozen=True)
class Compared:
    """The result of a comparison of the two copies: `pending` lines wait for the registry, `problems` for a person."""

    lines: int
    pending: int
    problems: list[str]


def write(config: Settings, usecase: str, id: str, date: str, content: bytes) -> None:
    """Write a line to the object store and to MLflow; it stays marked if the registry does not take it.

    Raises:
        ServiceError, OSError: the object store does not take it.
    """
    store, name = object_store(config), f"{folder(config, usecase)}/{date}/{id}{_ENDING}"
    mark = f"{folder(config, usecase)}/{_PENDING}/{id}"
    store.put(mark, name.encode())
    store.put(name, content)
    try:
        _copy(_registry(config), config, usecase, id, content)
    except RegistryError as error:
        _log.info("the audit line %s of %s is copied later: %s", id, usecase, error)
        return
    store.remove(mark)


def copy_pending(config: Settings, usecase: str) -> int:
    """Copy the lines that are marked; returns how many are left since the registry does not take them.

    Raises:
        ServiceError, OSError: the object store cannot be read.
    """
    store, waiting = object_store(config), f"{folder(config, usecase)}/{_PENDING}"
    left = [name for name in store.names(waiting) if not name.startswith(".")]
    # A mark counts by its name: whoever can write into one could have any file copied.
    names = {_id(name): name for name in _names(config, usecase)} if left else {}
    while left:
        with suppress(OSError):  # a line that cannot be read costs itself
            if name := names.get(left[-1]):  # else its writer is about to write it, or was killed before
                content = store.read(name)
                try:
                    _copy(_registry(config), config, usecase, left[-1], content)
                except RegistryError:
                    return len(left)
                store.remove(f"{waiting}/{left[-1]}")
        left.pop()
    return 0


def stored(config: Settings, usecase: str) -> dict[str, bytes]:
    """Read the lines of the object store by name, the oldest first.

    Raises:
        ServiceError, OSError: the object store cannot be read.
    """
    return {name: object_store(config).read(name) for name in _names(config, usecase)}


def compare(config: Settings, usecase: str) -> Compared:
    """Compare every line with its copy, byte for byte.

    Raises:
        RegistryError: the registry does not answer.
        ServiceError, OSError: the object store cannot be read.
    """
    # In this order a line that is written meanwhile is not taken for one whose copy is missing.
    ours = {_id(name): content for name, content in stored(config, usecase).items()}
    marked = set(object_store(config).names(f"{folder(config, usecase)}/{_PENDING}"))
    copies = _copies(_registry(config), config, usecase)
    problems = []
    for id, content in ours.items():
        if copies.get(id, content) != content:
            problems.append(f"the audit line {id} is not the same in MLflow: one of the two was changed.")
        elif id not in copies and id not in marked:
            problems.append(f"the audit line {id} has no copy in MLflow any more: it was removed there.")
    extra = copies.keys() - ours.keys()
    if extra:
        extra -= {_id(name) for name in _names(config, usecase)}
    problems += [
        f"the audit line {id} is in MLflow only: it was removed from {object_store(config).url}."
        for id in sorted(extra)
    ]
    return Compared(len(ours), len(marked & ours.keys() - copies.keys()), problems)


def folder(config: Settings, usecase: str) -> str:
    """Name the folder of a use case's lines in the object store."""
    return f"audit/{config.environment}/{usecase}"


def _names(config: Settings, usecase: str) -> list[str]:
    store, root = object_store(config), folder(config, usecase)
    dates = [name for name in store.names(root) if _DATE.fullmatch(name)]
    return [
        f"{root}/{date}/{name}" for date in dates for name in store.names(f"{root}/{date}") if name.endswith(_ENDING)
    ]


def _id(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(_ENDING)


def _registry(config: Settings) -> Registry:
    return Registry(config.registry_uri, _SECONDS)


def _copy(registry: Registry, config: Settings, usecase: str, id: str, content: bytes) -> None:
    uri = _run(registry, usecase).info.artifact_uri
    registry.put_artifact(uri, f"{config.environment}/{id}{_ENDING}", content)


def _run(registry: Registry, usecase: str) -> Run:
    """Find or create the run that holds the copies. If two writers create one at once, each holds some."""
    try:
        experiment = registry.experiment(audit_experiment(usecase))
    except NotFound:
        experiment = registry.create_experiment(audit_experiment(usecase))
    runs = registry.runs(experiment)
    return runs[0] if runs else registry.create_run(experiment, "audit")


def _copies(registry: Registry, config: Settings, usecase: str) -> dict[str, bytes]:
    """Read the copies of this environment's lines from MLflow, by the line's id."""
    try:
        runs = registry.runs(registry.experiment(audit_experiment(usecase)))
    except NotFound:
        return {}
    found = [(run, path) for run in runs for path in registry.artifacts(run.info.run_id, config.environment)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = pool.map(lambda one: registry.small_artifact(one[0].info.artifact_uri, one[1]), found)
        return {_id(path): content for (_, path), content in zip(found, read, strict=True)}
