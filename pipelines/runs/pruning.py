"""Pruning of training runs: a finished one is in the registry, and its directory is a cache for a while."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from pipelines.artifacts import RunPaths
from slipway.settings import settings
from slipway.timestamps import parse


class Record(Protocol):
    """What pruning needs of a run's record."""

    @property
    def created(self) -> str: ...


class Run(Protocol):
    """What pruning needs of a run."""

    paths: RunPaths
    registers: bool

    @property
    def record(self) -> Record: ...

    @property
    def finished(self) -> bool: ...


def prune(runs: Iterable[Run], file: str) -> None:
    """Remove the finished ones of a use case's runs that are older than SLIPWAY_KEEP_RESULTS_DAYS.

    The last that was registered stays, as does the last that was not, and whatever is unfinished. The use case must be
    locked. `file` goes first: what a killed process leaves without it is no run, and is removed later.
    """
    if not settings().keep_results_days:
        return
    oldest = datetime.now(UTC) - timedelta(days=settings().keep_results_days)
    finished = sorted((run for run in runs if run.finished), key=lambda run: run.record.created)
    last = {run.registers: run for run in finished}.values()
    for run in finished:
        if run not in last and parse(run.record.created) < oldest:
            (run.paths.root / file).unlink()
            shutil.rmtree(run.paths.root, ignore_errors=True)
    _remove_remains(settings().runs, file, oldest)


def _remove_remains(folder: Path, file: str, oldest: datetime) -> None:
    """Remove directories without the file that is a run's first, unless they may be of a run that begins."""
    for path in folder.iterdir():
        if path.is_dir() and not (path / file).exists() and path.stat().st_mtime < oldest.timestamp():
            shutil.rmtree(path, ignore_errors=True)
