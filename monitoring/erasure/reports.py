"""Pages of verdicts whose window has a day with the subject's predictions: they show values of single predictions.

A page is replaced by one that says so, on disk and in MLflow, and its address stays. The verdict's figures are of the
window as a whole, and stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from monitoring.analysis import verdict
from slipway.clients.mlflow.documents import Run
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import ENVIRONMENT, monitor_experiment
from slipway.errors import NotFound
from slipway.settings import Settings
from slipway.storage import object_store

REMOVED = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Report removed</title>
<p>This report was removed: predictions of its window were erased (slipway forget). The figures of its verdict stay.</p>
"""
_SECONDS = 30.0


class _Window(msgspec.Struct):
    since: str | None = None
    until: str | None = None


class _Verdict(msgspec.Struct):
    window: _Window


def erase_reports(config: Settings, usecase: str, days: Collection[str], *, dry_run: bool = False) -> list[str]:
    """Replace the pages of verdicts with any of these days; returns their names.

    Raises:
        RegistryError: MLflow does not respond.
        ServiceError, OSError: the log does not respond.
    """
    if not days:
        return []
    found = set()
    for run, page in _logged(config, usecase, days) if config.has_registry else ():
        found.add(page)
        if not dry_run:
            Registry(config.registry_uri, _SECONDS).put_artifact(run.info.artifact_uri, page, REMOVED)
    for page in _stored(config, usecase, days):
        found.add(page)
        if not dry_run:
            object_store(config).put(f"{verdict.folder(config, usecase)}/{page}", REMOVED)
    return sorted(found)


def _stored(config: Settings, usecase: str, days: Collection[str]) -> Iterator[str]:
    """Name the pages beside the verdicts."""
    store, folder = object_store(config), verdict.folder(config, usecase)
    names = store.names(folder)
    for name in names:
        if name.endswith(".json") and name != verdict.LATEST and _has_any(store.read(f"{folder}/{name}"), days):
            yield from _pages(name, names)


def _logged(config: Settings, usecase: str, days: Collection[str]) -> Iterator[tuple[Run, str]]:
    """Name the pages in MLflow, with their runs."""
    registry = Registry(config.registry_uri, _SECONDS)
    try:
        runs = registry.runs(registry.experiment(monitor_experiment(usecase)))
    except NotFound:
        return
    for run in runs:
        tags = {tag.key: tag.value for tag in run.data.tags}
        names = registry.artifacts(run.info.run_id, "") if tags.get(ENVIRONMENT) == config.environment else []
        for name in (name for name in names if name.endswith(".json")):
            if _has_any(registry.small_artifact(run.info.artifact_uri, name), days):
                yield from ((run, page) for page in _pages(name, names))


def _pages(name: str, names: Collection[str]) -> list[str]:
    stem = name.removesuffix(".json")
    return [page for page in (f"{stem}.html", f"{stem}-evidently.html") if page in names]


def _has_any(content: bytes, days: Collection[str]) -> bool:
    """Whether a verdict's window has any of the days; of a file that is no verdict nothing is known."""
    try:
        window = msgspec.json.decode(content, type=_Verdict).window
    except (ValueError, RecursionError):
        return False
    if not window.since or not window.until:
        return False
    return any(window.since[:10] <= day <= window.until[:10] for day in days)
