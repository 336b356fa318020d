"""Pruning of results that are kept for `SLIPWAY_KEEP_RESULTS_DAYS`: verdicts, refusals to retrain, unused bundles.

The last verdict of a use case stays, however old it is. Refusals stay counted, and starts of trainings stay recorded.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from monitoring.analysis import verdict
from monitoring.retraining.decisions import Decisions
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import parse_name


def prune_verdicts(config: Settings, usecase: str, before: datetime) -> int:
    """Remove verdicts and their pages that were made before, but those of the last; returns how many files these were.

    Raises:
        ServiceError, OSError: the log does not respond.
    """
    store, folder = object_store(config), verdict.folder(config, usecase)
    made = {name: at for name in store.names(folder) if (at := _made(name))}
    last = max(made.values(), default=None)
    old = [name for name, at in made.items() if at < before and at != last]
    for name in old:
        store.remove(f"{folder}/{name}")
    return len(old)


def prune_refusals(config: Settings, usecase: str, before: datetime) -> int:
    """Remove records of refusals of the days before; returns how many. Raises ServiceError or OSError."""
    return Decisions(config, usecase).prune(before)


def prune_unused(folder: Path, before: datetime) -> int:
    """Remove bundles, or what a killed process has left of one, that nobody used since; returns how many."""
    found = list(folder.iterdir()) if folder.is_dir() else []
    unused = [path for path in found if path.stat().st_mtime < before.timestamp()]
    for path in unused:
        shutil.rmtree(path, ignore_errors=True)
    return len(unused)


def _made(name: str) -> datetime | None:
    """When the verdict of a file was made: of `TIME.json`, `TIME.html` or `TIME-evidently.html`."""
    try:
        return parse_name(name.partition(".")[0].removesuffix("-evidently"))
    except ValueError:
        return None
