"""Pruning of the prediction log: dates older than the use case's `monitoring.retention_days` go as a whole.

The audit says so first; then a mark hides them from every reader at once; and when no reader that listed them can still
be at it, they are removed. Where a process is killed in between, no date is there in part, and the next pass goes on.
Documents that Elasticsearch refused go at once: no reader counts on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitoring.log_shipping import refused_documents
from slipway import audit
from slipway.prediction_log.layout import PRUNED, READING, STREAMS, dates, partitions, pruned_before, pruned_dates
from slipway.settings import Settings
from slipway.storage import ObjectStore, object_store
from slipway.timestamps import iso, parse

ACTION = "log.pruned"
WHO = "slipway watch"


@dataclass
class Pruning:
    """Dates of a pass by stream: `hidden` ones are removed by a later pass, `removed` ones were hidden before."""

    before: str
    hidden: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)


def prune(config: Settings, usecase: str, days: int, now: datetime) -> Pruning:
    """Take a pass: remove what was hidden an hour ago or earlier, and hide what is older than so many days.

    Raises:
        ServiceError, OSError: the log does not take it.
    """
    store = object_store(config)
    folders = {stream: partitions(config, stream, usecase) for stream in STREAMS}
    done = Pruning(f"{now - timedelta(days=days):%Y-%m-%d}")
    for stream, folder in folders.items():
        if removed := _remove_hidden(store, folder, now):
            done.removed[stream] = removed
        if old := [date for date in dates(store.names(folder)) if date < done.before]:
            done.hidden[stream] = old
    if done.hidden:
        why = f"monitoring.retention_days is {days}"
        evidence = {"before": done.before, **done.hidden}
        audit.append(usecase, ACTION, who=WHO, why=why, evidence=evidence, config=config)
    for stream in done.hidden:
        store.put(f"{folders[stream]}/{PRUNED}{done.before}", iso(now).encode())
    refused_documents.remove_before(config, store, usecase, done.before)
    return done


def _remove_hidden(store: ObjectStore, folder: str, now: datetime) -> list[str]:
    """Remove the dates before a mark that is old enough, and earlier marks."""
    names = store.names(folder)
    mark = PRUNED + pruned_before(names)
    if mark == PRUNED or now < parse(store.read(f"{folder}/{mark}").decode()) + READING:
        return []
    hidden = pruned_dates(names)
    for date in hidden:
        store.remove_folder(f"{folder}/{date}")
    for earlier in (name for name in names if name.startswith(PRUNED) and name < mark):
        store.remove(f"{folder}/{earlier}")
    return hidden
