"""Reads the prediction log: Parquet that was shipped and lines that are still in the spool, as one table.

DuckDB is imported when the first query runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, cast

from slipway.errors import DataError, UseCaseError
from slipway.prediction_log.jsonl import literal
from slipway.prediction_log.label_join import label_join
from slipway.prediction_log.layout import PARQUET, between, partitions
from slipway.prediction_log.left_out import LeftOut
from slipway.prediction_log.reading.retried_relation import RetriedRelation
from slipway.prediction_log.reading.sample import ANSWERED, COUNTS, MOST_ROWS, chosen
from slipway.prediction_log.reading.views import Views, events, having, with_copies, within
from slipway.storage.factory import object_store
from slipway.timestamps import CLOCKS_APART, as_utc, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.settings import Settings

Time = datetime | str | None


class Log:
    """The prediction log, each event once. Times are UTC; `since` is included, `until` is not.

    >>> Log(settings()).predictions("digits", since="2026-01-01").df()

    The result is a DuckDB relation with the columns of `slipway.contracts.events.prediction_event`, in no order, of the
    log at the time of the call. A file that cannot be read costs itself: `left_out` has those of the last call's dates,
    and those with lines that are no events, `bad_lines` in all. That a compacted file is damaged may be found when the
    relation is evaluated, which then is done again without it: look at `left_out` afterwards.

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
        conditions = [*(['"slipway.answered"'] if answered else []), *([] if tests else [COUNTS])]
        window = parse_instant(since), parse_instant(until)

        def define(views: Views) -> str:
            views.add("prediction", usecase, window)
            return events("prediction", " AND ".join(conditions) or "true")

        return self._relation(define)

    def feedback(self, usecase: str, since: Time = None, until: Time = None) -> DuckDBPyRelation:
        """Read feedback events as they were sent: a row may have several, or none that is valid."""
        window = parse_instant(since), parse_instant(until)

        def define(views: Views) -> str:
            views.add("feedback", usecase, window)
            return events("feedback")

        return self._relation(define)

    def sample(self, usecase: str, since: Time = None, until: Time = None, n: int = MOST_ROWS) -> DuckDBPyRelation:
        """Read the `n` answered events with the smallest first 8 bytes of md5(row_id).

        The same events give the same sample, and the sample of a union is the sample of its parts' samples.
        """
        window = parse_instant(since), parse_instant(until)

        def define(views: Views) -> str:
            views.add("prediction", usecase, window, sampled=n <= MOST_ROWS)
            rows = chosen(with_copies("prediction", ANSWERED), int(n))
            sampled = events("prediction", f'{ANSWERED} AND "slipway.row_id" IN (FROM chosen)')
            return f"WITH chosen AS MATERIALIZED ({rows}) {sampled}"

        return self._relation(define)

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
        sent = since and since - CLOCKS_APART, parse_instant(sent_until)
        tables = f"({with_copies('prediction', ANSWERED)})", f"({with_copies('feedback')})"
        found = label_join(*tables, labels, without, each_caller, has_any_labeler(usecase))
        one = '"event.id", label_caller' if each_caller else '"event.id"'

        def define(views: Views) -> str:
            # A key means the latest prediction with it, which may be later than `until`: those are needed to know.
            views.add("prediction", usecase, (since, None))
            views.add("feedback", usecase, sent)
            return f"SELECT DISTINCT ON ({one}) * FROM ({found}) WHERE {within(None, until)}"

        return self._relation(define)

    def having(
        self, usecase: str, values: Mapping[str, str], since: Time = None, until: Time = None
    ) -> DuckDBPyRelation:
        """Read the prediction events that have one of the fields' values; also tests, and those that no client got.

        It is fast for values that few events have.
        """
        window = parse_instant(since), parse_instant(until)

        def define(views: Views) -> str:
            views.add("prediction", usecase, window, believed=True)
            return f'SELECT DISTINCT ON ("event.id") * FROM ({having("prediction", values)})'

        return self._relation(define)

    def labelled_row(self, usecase: str, row_id: str, key: str | None, since: Time = None) -> DuckDBPyRelation:
        """Read an answered prediction if it has a label by now, as `labelled` does; it is from `since` on.

        Of the others only those with its key are read: a key means the latest of them.
        """
        names = {"slipway.row_id": row_id} | ({} if key is None else {"slipway.key": key})
        begin = parse_instant(since)
        found = label_join("answered", "labels", None, any_labeler=has_any_labeler(usecase))

        def define(views: Views) -> str:
            views.add("prediction", usecase, (begin, None), believed=True)
            views.add("feedback", usecase, (begin and begin - CLOCKS_APART, None), believed=True)
            return f"""WITH answered AS MATERIALIZED ({having("prediction", names, ANSWERED)}),
                labels AS MATERIALIZED ({having("feedback", names)})
                SELECT DISTINCT ON ("event.id") * FROM ({found}) WHERE "slipway.row_id" = {literal(row_id)}"""

        return self._relation(define)

    def shipped(self, usecase: str) -> int:
        """Count the Parquet files that hold the use case's predictions by now."""
        folder = partitions(self._settings, "prediction", usecase)
        return sum(name.endswith(PARQUET) for name in between(object_store(self._settings), folder, None, None))

    def _relation(self, define: Callable[[Views], str]) -> DuckDBPyRelation:
        """Make a relation of a query, which is defined on views, and defined anew if one of their files is broken."""
        made: list[Views] = []

        def make() -> DuckDBPyRelation:
            made[:] = [Views(self._settings)]
            [views] = made
            query = define(views)
            self.left_out = views.left_out
            return views.connection.sql(query)

        return cast("DuckDBPyRelation", RetriedRelation(make, lambda: any(views.have_broken_files() for views in made)))


def has_any_labeler(usecase: str) -> bool:
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
