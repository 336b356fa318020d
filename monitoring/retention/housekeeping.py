"""Housekeeping of the watch process: once an hour the prediction log is compacted and pruned, and old results go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from monitoring.elk.expiry import expire
from monitoring.retention.log_pruning import prune
from monitoring.retention.result_pruning import prune_refusals, prune_unused, prune_verdicts
from slipway import config as usecases
from slipway.clients.elasticsearch.connection import connect, is_configured
from slipway.errors import UseCaseError
from slipway.prediction_log import Compactor, layout
from slipway.settings import Settings
from slipway.storage import object_store

FIRST_SECONDS = 300.0
PASS_SECONDS = 3600.0
_STOP_SECONDS = 10.0
_log = logging.getLogger("slipway.watch")


class Housekeeper:
    """Takes passes over all use cases of the environment. A step that fails costs itself, until the next pass."""

    def __init__(self, config: Settings, enough: Callable[[], bool] = lambda: False) -> None:
        self._config = config
        self._store = object_store(config)
        self._enough = enough
        self._compactor = Compactor(config, enough)

    def pass_once(self, now: datetime | None = None) -> None:
        """Take one pass: prune before compacting, so that nothing is combined to be removed."""
        now = now or datetime.now(UTC)
        self._attempt(partial(self._keep_log, now))
        if is_configured(self._config):
            self._attempt(partial(self._expire, now))
        if days := self._config.keep_results_days:
            before = now - timedelta(days=days)
            self._attempt(partial(self._prune_each, "verdicts", partial(self._prune_verdicts, before)))
            self._attempt(partial(self._prune_each, "retraining", partial(self._prune_refusals, before)))
            for folder in ("monitor", "schemas"):
                self._attempt(partial(self._prune_unused, folder, before))

    def _keep_log(self, now: datetime) -> None:
        for usecase in layout.usecases(self._store, self._config):
            self._attempt(partial(self._prune_log, usecase, now))
            for stream in layout.STREAMS:
                self._attempt(partial(self._compact, usecase, stream, now))

    def _prune_log(self, usecase: str, now: datetime) -> None:
        days = _retention_days(usecase)
        if days is None:
            return
        done = prune(self._config, usecase, days, now)
        for stream, hidden in done.hidden.items():
            _log.info("%s: %s events before %s are pruned: %s", usecase, stream, done.before, ", ".join(hidden))
        for stream, removed in done.removed.items():
            _log.info("%s: %s events are removed: %s", usecase, stream, ", ".join(removed))

    def _expire(self, now: datetime) -> None:
        kept = {usecase: _retention_days(usecase) for usecase in usecases.names()}
        for usecase, before in expire(connect(self._config), self._config, kept, now).items():
            _log.info("%s: events before %s are deleted from Elasticsearch", usecase, f"{before:%Y-%m-%d %H:%M}")

    def _compact(self, usecase: str, stream: str, now: datetime) -> None:
        done = self._compactor.compact(usecase, stream, now)
        if done.large or done.removed:
            counts = done.combined, done.large, done.removed
            _log.info("%s: %s events: %d files are combined into %d, %d are removed", usecase, stream, *counts)

    def _prune_each(self, folder: str, prune_old: Callable[[str], None]) -> None:
        for usecase in self._store.names(f"{folder}/{self._config.environment}"):
            self._attempt(partial(prune_old, usecase))

    def _prune_verdicts(self, before: datetime, usecase: str) -> None:
        if removed := prune_verdicts(self._config, usecase, before):
            _log.info("%s: %d files of verdicts from before %s are removed", usecase, removed, f"{before:%Y-%m-%d}")

    def _prune_refusals(self, before: datetime, usecase: str) -> None:
        if removed := prune_refusals(self._config, usecase, before):
            _log.info("%s: %d refusals to retrain from before %s are removed", usecase, removed, f"{before:%Y-%m-%d}")

    def _prune_unused(self, folder: str, before: datetime) -> None:
        if removed := prune_unused(self._config.var / folder, before):
            _log.info("%d unused bundles are removed from %s", removed, self._config.var / folder)

    def _attempt(self, step: Callable[[], None]) -> None:
        if self._enough():
            return
        try:
            step()
        except Exception:  # whatever fails in one pass, the next one may succeed
            _log.exception("a step of the housekeeping failed")


@contextmanager
def running(config: Settings) -> Iterator[None]:
    """Keep house in a thread for the length of the block. It may be cut off at any step."""
    stop = threading.Event()
    housekeeper = Housekeeper(config, stop.is_set)
    thread = threading.Thread(target=_run, args=(housekeeper, stop), name="housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_SECONDS)


def _run(housekeeper: Housekeeper, stop: threading.Event) -> None:
    pause = FIRST_SECONDS
    while not stop.wait(pause):
        housekeeper.pass_once()
        pause = PASS_SECONDS


def _retention_days(usecase: str) -> int | None:
    """Its `monitoring.retention_days`; None where it has none, or no valid file on this machine."""
    try:
        return usecases.load(usecase).monitoring.retention_days
    except (UseCaseError, OSError):
        return None
