"""Reads the prediction log: Parquet that was shipped and lines that are still in the spool, as one table.

DuckDB is imported when the first query runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import DataError, UseCaseError
from slipway.prediction_log.jsonl import connect, literal
from slipway.prediction_log.label_join import label_join
from slipway.prediction_log.layout import BAD, PARQUET, between, partitions
from slipway.prediction_log.left_out import LeftOut, kept_lines
from slipway.prediction_log.parquet_files import read_parquet
from slipway.prediction_log.spool_reader import COLUMNS, read_spool
from slipway.storage.factory import object_store
from slipway.timestamps import as_utc, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from slipway.settings import Settings

Time = datetime | str | None
_CLOCKS_APART = timedelta(days=1)
_COUNTS = '"slipway.test" IS NOT TRUE'
_ANSWERED = f'"slipway.answered" AND {_COUNTS}'
_EACH_ONCE = 'SELECT DISTINCT ON ("event.id") *'


class Log:
    """The prediction log, each event once. Times are UTC; `since` is included, `until` is not.

    >>> Log(settings()).predictions("digits", since="2026-01-01").df()

    The result is a DuckDB relation with the columns of `slipway.contracts.events.prediction_event`, in no order, of the
    log at the time of the call. A file that cannot be read costs itself: `left_out` has those of the last call's dates,
    and those with lines that are no events, `bad_lines` in all.

    Predictions that were made to test the service are left out of everything but `predictions(tests=True)`: they say
    nothing about the world.
    """

    def __init__(self, settings: Settings) -> None:
        self.left_out: list[LeftOut] = []
        self._settings = settings

    @property
    def bad_lines(self) -> int:
        return sum(each.lines for each in self.left_out)

    def predictions(
        self, usecase: str, since: Time = None, until: Time = None, answered: bool = True, tests: bool = False
    ) -> DuckDBPyRelation:
        """Read prediction events; `answered=False` adds those that no client got (shadow, failures)."""
        chosen = [*(['"slipway.answered"'] if answered else []), *([] if tests else [_COUNTS])]
        connection = self._connect("prediction", usecase, parse_instant(since), parse_instant(until))
        return connection.sql(f"{_EACH_ONCE} FROM prediction WHERE {' AND '.join(chosen) or True}")

    def feedback(self, usecase: str, since: Time = None, until: Time = None) -> DuckDBPyRelation:
        """Read feedback events as they were sent: a row may have several, or none that is valid."""
        return self._connect("feedback", usecase, parse_instant(since), parse_instant(until)).sql(
            f"{_EACH_ONCE} FROM feedback"
        )

    def sample(self, usecase: str, since: Time = None, until: Time = None, n: int = 10_000) -> DuckDBPyRelation:
        """Read the `n` answered events with the smallest first 8 bytes of md5(row_id).

        The same events give the same sample, and the sample of a union is the sample of its parts' samples.
        """
        connection = self._connect("prediction", usecase, parse_instant(since), parse_instant(until))
        return connection.sql(f"""
            WITH chosen AS (
                SELECT DISTINCT "slipway.row_id" AS row_id FROM prediction WHERE {_ANSWERED}
                ORDER BY md5(row_id)[:16], row_id LIMIT {int(n)}
            ) {_EACH_ONCE} FROM prediction SEMI JOIN chosen ON "slipway.row_id" = row_id WHERE {_ANSWERED}""")

    def labelled(
        self,
        usecase: str,
        since: Time = None,
        until: Time = None,
        labels: Collection[str] | None = None,
        *,
        sent_until: Time = None,
        without: Collection[str] = (),
        each_caller: bool = False,
    ) -> DuckDBPyRelation:
        """Read the answered predictions that have a label by now, with `label_true`, `value_true`, `known_at` and
        `label_caller`, who sent it ("" if that is not known).

        The rule is that of `slipway.prediction_log.label_join`, with the use case's `feedback.labelers`. With `labels`,
        the classes, any other label is ignored; so are labels that were sent from `sent_until` on, and those of the
        callers `without`. With `each_caller` a prediction has a row for each caller's vote.
        """
        since, until = parse_instant(since), parse_instant(until)
        # A key means the latest prediction with it, which may be later than `until`: those are needed to know.
        connection = self._connect("prediction", usecase, since, None)
        self._view(connection, "feedback", usecase, since and since - _CLOCKS_APART, parse_instant(sent_until))
        answered = f"(FROM prediction WHERE {_ANSWERED})"
        found = label_join(answered, "feedback", labels, without, each_caller, _has_any_labeler(usecase))
        once = 'SELECT DISTINCT ON ("event.id", label_caller) *' if each_caller else _EACH_ONCE
        return connection.sql(f"{once} FROM ({found}) WHERE {_within(None, until)}")

    def shipped(self, usecase: str) -> int:
        """Count the Parquet files that hold the use case's predictions by now."""
        folder = partitions(self._settings, "prediction", usecase)
        return sum(name.endswith(PARQUET) for name in between(object_store(self._settings), folder, None, None))

    def _connect(self, stream: str, usecase: str, since: datetime | None, until: datetime | None) -> DuckDBPyConnection:
        self.left_out = []
        connection = connect(self._settings)
        self._view(connection, stream, usecase, since, until)
        return connection

    def _view(
        self, connection: DuckDBPyConnection, stream: str, usecase: str, since: datetime | None, until: datetime | None
    ) -> None:
        """Make a view of the stream's events, some of them twice. The spool is read before the Parquet is listed: what
        the shipper moves meanwhile is found in both, never in neither."""
        spooled = f"spooled_{stream}"
        self.left_out += read_spool(connection, spooled, self._settings.spool, usecase, stream)
        shipped = between(object_store(self._settings), partitions(self._settings, stream, usecase), since, until)
        parquet, broken = read_parquet(partial(connect, self._settings), self._files(shipped, PARQUET), COLUMNS[stream])
        self.left_out += [*broken, *kept_lines(self._files(shipped, BAD))]
        source = " UNION ALL BY NAME ".join([f"FROM {spooled}", *parquet])
        connection.execute(f"CREATE TEMP VIEW {stream} AS FROM ({source}) WHERE {_within(since, until)}")

    def _files(self, names: Sequence[str], ending: str) -> dict[str, Path]:
        """Files on this machine by the names that end so."""
        wanted = [name for name in names if name.endswith(ending)]
        return dict(zip(wanted, object_store(self._settings).local(wanted), strict=True))


def _has_any_labeler(usecase: str) -> bool:
    """Whether its usecase.yaml lets callers label the predictions of others; without a valid file they may not."""
    from slipway import config  # a server, which writes the log, needs no use case

    try:
        return config.load(usecase).feedback.labelers == "any"
    except (UseCaseError, OSError):
        return False


def parse_instant(time: Time) -> datetime | None:
    """Convert a time to a datetime in UTC; one without a zone is UTC.

    Raises:
        DataError: a text that is no ISO 8601 time.
    """
    if isinstance(time, str):
        try:
            return parse(time)
        except ValueError:
            raise DataError(f"{time!r} is no time. Write it in ISO 8601, as 2026-01-31 or 2026-01-31T12:00Z.") from None
    return None if time is None else as_utc(time)


def _within(since: datetime | None, until: datetime | None) -> str:
    bounds = [f'"@timestamp" >= {_literal(since)}'] if since else []
    bounds += [f'"@timestamp" < {_literal(until)}'] if until else []
    return " AND ".join(bounds) or "true"


def _literal(time: datetime) -> str:
    return f"TIMESTAMPTZ {literal(time.isoformat())}"
