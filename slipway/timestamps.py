"""Timestamps as text, one set for all packages: ISO 8601 in UTC that ends in `Z`, and the form in names of files."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

CLOCKS_APART = timedelta(days=1)
"""Most that the clocks of the machines differ that make an id, its event and its label."""
_IN_NAMES = "%Y%m%dT%H%M%S%fZ"


def now_iso() -> str:
    """Format the time now with microseconds, as events have it: `2026-01-31T12:00:00.000000Z`.

    Called for every prediction: the text of the second is kept.
    """
    second, micro = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micro:06}Z"


def iso(moment: datetime, timespec: Literal["seconds", "milliseconds", "microseconds"] = "milliseconds") -> str:
    """Format a datetime that has a zone.

    >>> iso(datetime(2026, 1, 31, 12, tzinfo=UTC)), iso(datetime(2026, 1, 31, 12, tzinfo=UTC), "microseconds")
    ('2026-01-31T12:00:00.000Z', '2026-01-31T12:00:00.000000Z')
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """Parse ISO 8601 to a datetime in UTC; a time without a zone is UTC. Raises ValueError.

    >>> parse("2026-01-31"), parse("2026-01-31T13:00+01:00").hour
    (datetime.datetime(2026, 1, 31, 0, 0, tzinfo=datetime.timezone.utc), 12)
    """
    try:
        return as_utc(datetime.fromisoformat(text))
    except OverflowError:
        raise ValueError(f"{text!r} is outside of the years 1 to 9999") from None


def as_utc(moment: datetime) -> datetime:
    """Convert a datetime to UTC; one without a zone is UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_ms(milliseconds: int) -> datetime:
    """Convert milliseconds since 1970, as MLflow and UUIDv7 hold them, to a datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def readable(moment: datetime) -> str:
    """Format a datetime for people, to the minute.

    >>> readable(datetime(2026, 1, 31, 12, 5, tzinfo=UTC))
    '2026-01-31 12:05 UTC'
    """
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def for_name(moment: datetime) -> str:
    """Format a datetime for the name of a file, which then sorts by time.

    >>> for_name(datetime(2026, 1, 31, 12, tzinfo=UTC))
    '20260131T120000000000Z'
    """
    return moment.astimezone(UTC).strftime(_IN_NAMES)


def parse_name(text: str) -> datetime:
    """Parse what `for_name` wrote. Raises ValueError."""
    return datetime.strptime(text, _IN_NAMES).replace(tzinfo=UTC)


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
