"""Layout of the shipped log: `STREAM/ENVIRONMENT/USECASE/DATE/SEGMENT.parquet`, DATE being the events' (UTC).

Lines of a segment that are no events are in `SEGMENT.bad` in the same folder.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.settings import Settings
    from slipway.storage import ObjectStore

PARQUET = ".parquet"
BAD = ".bad"
_FOLDERS = {"prediction": "predictions", "feedback": "feedback"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def partitions(settings: Settings, stream: str, usecase: str) -> str:
    """Name the folder that holds a use case's dates."""
    return f"{_FOLDERS[stream]}/{settings.environment}/{usecase}"


def between(store: ObjectStore, folder: str, since: datetime | None, until: datetime | None) -> list[str]:
    """List the files of the dates that may hold events from `since` to `until`, in order."""
    first = f"{since:%Y-%m-%d}" if since else ""
    last = f"{until:%Y-%m-%d}" if until else "9999-12-31"
    dates = [name for name in store.names(folder) if _DATE.fullmatch(name) and first <= name <= last]
    return [f"{folder}/{date}/{name}" for date in dates for name in store.names(f"{folder}/{date}")]
