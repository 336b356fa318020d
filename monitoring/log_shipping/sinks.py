"""Sinks: where the shipper brings events. Parquet is always one of them, Elasticsearch where there is one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from slipway.ecs_logging.spool_handler import STREAM
from slipway.errors import ServiceError
from slipway.prediction_log import Segment, archive, connect
from slipway.settings import Settings

_LIMITS = ("80MB", "128MB", "320MB", "1GB")  # of DuckDB's memory, for segments of 16 MB, of 64 MB, and of long lines


class SinkUnavailable(ServiceError):
    """The sink takes no segment now: the shipper tries no other one in this pass."""


class Sink(Protocol):
    """Destination of events. It may get the same segment again, after a kill, and must be idempotent."""

    name: str
    at_once: int  # segments that it takes at the same time, each in a thread

    def take(self, usecase: str, segment: Segment) -> int:
        """Store the segment's events durably and return their number. Raises if it cannot."""


@dataclass
class Totals:
    """Totals since the start, by use case."""

    segments: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)


class ParquetSink:
    """Sink that statistics and trainings read: Parquet under SLIPWAY_LOG_URL."""

    name = "Parquet"
    at_once = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings, small=True)

    def take(self, usecase: str, segment: Segment) -> int:
        """Archive events. Log lines are for people only: with Parquet alone they are removed."""
        from duckdb import OutOfMemoryException

        if segment.stream == STREAM:
            return 0
        for limit in _LIMITS[:-1]:
            try:
                return self._archive(usecase, segment, limit)
            except OutOfMemoryException:  # lines of megabytes, which no server writes
                continue
        return self._archive(usecase, segment, _LIMITS[-1])

    def _archive(self, usecase: str, segment: Segment, limit: str) -> int:
        self._connection.execute(f"SET memory_limit = '{limit}'")
        return archive(self._connection, self._settings, usecase, segment)
