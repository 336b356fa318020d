"""Where the shipped log lies: `LOG_ROOT/STREAM/ENVIRONMENT/USECASE/DATE/SEGMENT.parquet`, DATE being the events' (UTC).

Beside a segment's Parquet lies `SEGMENT.bad` where lines of it were no events.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import SettingsError
from slipway.prediction_log.lines import count

if TYPE_CHECKING:
    from slipway.settings import Settings

PARQUET = ".parquet"
BAD = ".bad"
_FOLDERS = {"prediction": "predictions", "feedback": "feedback"}


def partitions(settings: Settings, stream: str, usecase: str) -> Path:
    """The folder of a use case's dates.

    Raises:
        SettingsError: the log is not in a folder.
    """
    root = str(settings.log_root)
    if "://" in root:
        raise SettingsError(
            f"SLIPWAY_LOG_URL={root}: the log can be kept in a folder only. Give a path, of a mounted volume perhaps."
        )
    return Path(root) / _FOLDERS[stream] / settings.environment / usecase


def between(folder: Path, since: datetime | None, until: datetime | None) -> list[Path]:
    """The date folders that may hold events from `since` to `until`, in order."""
    first = f"{since:%Y-%m-%d}" if since else ""
    last = f"{until:%Y-%m-%d}" if until else "9999-12-31"
    return sorted(path for path in folder.glob("????-??-??") if first <= path.name <= last)


def bad_lines(folder: Path) -> int:
    """How many lines of a date's segments were no events."""
    total = 0
    for path in folder.glob(f"*{BAD}"):
        with path.open("rb") as file:
            total += count(file)
    return total
