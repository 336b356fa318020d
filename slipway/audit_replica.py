"""The audit's second copy: the same bytes as artifacts of a run in MLflow's experiment `audit/USECASE`.

Before a line is written it is marked, `audit/ENVIRONMENT/USECASE/pending/ID` under SLIPWAY_LOG_URL, and the mark
goes once the copy is there. So what the registry did not take while it was down is made up for later, and a line with
neither mark nor copy is one whose copy was removed.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
    """How the two copies agree: `pending` lines wait for the registry, `problems` are for a person."""

    lines: int
    pending: int
    problems: list[str]


def write(config: Settings, usecase: str, id: str, date: str, content: bytes) -> None:
    """Leave a line in both places; where the registry does not take it, it stays marked.

    Raises:
        ServiceError, OSError: the log's place does not take it.
    """
    at, name = object_store(config), f"{folder(config, usecase)}/{date}/{id}{_ENDING}"
    mark = f"{folder(config, usecase)}/{_PENDING}/{id}"
    at.put(mark, name.encode())
    at.put(name, content)
    try:
        _copy(_registry(config), config, usecase, id, content)
    except RegistryError as error:
        _log.info("the audit line %s of %s is copied later: %s", id, usecase, error)
        return
    at.remove(mark)


def make_up(config: Settings, usecase: str) -> int:
    """Copy the lines that are marked; how many are left since the registry does not take them.

    Raises:
        ServiceError, OSError: the log's place cannot be read.
    """
    at, waiting = object_store(config), f"{folder(config, usecase)}/{_PENDING}"
    left = [name for name in at.names(waiting) if not name.startswith(".")]
    while left:
        mark = f"{waiting}/{left[-1]}"
        with suppress(FileNotFoundError):  # its writer is about to write it, or was killed before, or has copied it
            content = at.read(at.read(mark).decode())
            try:
                _copy(_registry(config), config, usecase, left[-1], content)
            except RegistryError:
                return len(left)
            at.remove(mark)
        left.pop()
    return 0


def stored(config: Settings, usecase: str) -> dict[str, bytes]:
    """The lines as they lie under SLIPWAY_LOG_URL, by name, the oldest first.

    Raises:
        ServiceError, OSError: the log's place cannot be read.
    """
    return {name: object_store(config).read(name) for name in _names(config, usecase)}


def compare(config: Settings, usecase: str) -> Compared:
    """Every line against its copy, byte for byte.

    Raises:
        RegistryError: the registry does not answer.
        ServiceError, OSError: the log's place cannot be read.
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
    alone = copies.keys() - ours.keys()
    if alone:
        alone -= {_id(name) for name in _names(config, usecase)}
    problems += [
        f"the audit line {id} is in MLflow only: it was removed from {object_store(config).url}."
        for id in sorted(alone)
    ]
    return Compared(len(ours), len(marked & ours.keys() - copies.keys()), problems)


def folder(config: Settings, usecase: str) -> str:
    """Where a use case's lines lie under SLIPWAY_LOG_URL."""
    return f"audit/{config.environment}/{usecase}"


def _names(config: Settings, usecase: str) -> list[str]:
    at, root = object_store(config), folder(config, usecase)
    dates = [name for name in at.names(root) if _DATE.fullmatch(name)]
    return [f"{root}/{date}/{name}" for date in dates for name in at.names(f"{root}/{date}") if name.endswith(_ENDING)]


def _id(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(_ENDING)


def _registry(config: Settings) -> Registry:
    return Registry(config.registry_uri, _SECONDS)


def _copy(registry: Registry, config: Settings, usecase: str, id: str, content: bytes) -> None:
    uri = _run(registry, usecase)["info"]["artifact_uri"]
    registry.put_artifact(uri, f"{config.environment}/{id}{_ENDING}", content)


def _run(registry: Registry, usecase: str) -> dict[str, Any]:
    """The run that holds the copies, made where there is none. Where two writers make it at once, both hold some."""
    try:
        experiment = registry.experiment(audit_experiment(usecase))
    except NotFound:
        experiment = registry.create_experiment(audit_experiment(usecase))
    runs = registry.runs(experiment)
    return runs[0] if runs else registry.create_run(experiment, "audit")


def _copies(registry: Registry, config: Settings, usecase: str) -> dict[str, bytes]:
    """What lies in MLflow of this environment, by the line's name; nothing where no line was ever copied."""
    try:
        runs = registry.runs(registry.experiment(audit_experiment(usecase)))
    except NotFound:
        return {}
    found = [(run, path) for run in runs for path in registry.artifacts(run["info"]["run_id"], config.environment)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = pool.map(lambda one: registry.small_artifact(one[0]["info"]["artifact_uri"], one[1]), found)
        return {_id(path): content for (_, path), content in zip(found, read, strict=True)}
