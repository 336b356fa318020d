"""Layout of the shipped log: `STREAM/ENVIRONMENT/USECASE/DATE/NAME.parquet`, DATE being the events' (UTC).

NAME is that of a segment, whose lines that are no events are in `NAME.bad`, or `compacted-DIGEST` for the events of
many segments, of which `compacted-DIGEST.sample` has a sample, or `rewritten-DIGEST` for what an erasure left of a
file. A mark `pruned-before-DATE` beside the dates hides earlier ones from every reader at once, however long it takes
to remove them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.settings import Settings
    from slipway.storage import ObjectStore

PARQUET = ".parquet"
BAD = ".bad"
SAMPLE = ".sample"
COMPACTED = "compacted-"
REWRITTEN = "rewritten-"
PRUNED = "pruned-before-"
READING = timedelta(hours=1)
"""What a reader takes at most, from listing files to its last look at them: only an erasure removes one earlier, and
readers list again then."""
_FOLDERS = {"prediction": "predictions", "feedback": "feedback"}
STREAMS = tuple(_FOLDERS)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def partitions(settings: Settings, stream: str, usecase: str) -> str:
    """Name the folder that holds a use case's dates."""
    return f"{_FOLDERS[stream]}/{settings.environment}/{usecase}"


def usecases(store: ObjectStore, settings: Settings) -> list[str]:
    """List the use cases that have a folder of dates."""
    return sorted({name for folder in _FOLDERS.values() for name in store.names(f"{folder}/{settings.environment}")})


def dates(names: Iterable[str]) -> list[str]:
    """Choose the dates among the names in a use case's folder that readers see, in order."""
    names = list(names)
    first = pruned_before(names)
    return sorted(name for name in names if _DATE.fullmatch(name) and name >= first)


def pruned_dates(names: Iterable[str]) -> list[str]:
    """Choose the dates among the names in a use case's folder that are hidden."""
    names = list(names)
    first = pruned_before(names)
    return sorted(name for name in names if _DATE.fullmatch(name) and name < first)


def pruned_before(names: Iterable[str]) -> str:
    """Find the date of the latest mark; "" without one."""
    marks = (name.removeprefix(PRUNED) for name in names if name.startswith(PRUNED))
    return max(filter(_DATE.fullmatch, marks), default="")


def between(store: ObjectStore, folder: str, since: datetime | None, until: datetime | None) -> list[str]:
    """List the files of the dates that may hold events from `since` to `until`, in order."""
    first = f"{since:%Y-%m-%d}" if since else ""
    last = f"{until:%Y-%m-%d}" if until else "9999-12-31"
    found = [date for date in dates(store.names(folder)) if first <= date <= last]
    return [f"{folder}/{date}/{name}" for date in found for name in store.names(f"{folder}/{date}")]
