"""Which callers get errors, and of what type: rows that failed, and requests that the service refused."""

from __future__ import annotations

from datetime import UTC, datetime

from monitoring.search.event_source import EventSource, require_usecase
from monitoring.search.results import CallerErrors, Group
from slipway.timestamps import iso


def caller_errors(source: EventSource, usecase: str, since: datetime) -> CallerErrors:
    """Count the failures of each caller's rows; a caller is the pseudonym of a credential.

    Raises:
        NotFound: the use case has no predictions at all.
        ServiceError, OSError: the source does not respond.
    """
    window = since, datetime.now(UTC)
    totals = source.totals(usecase, window)
    callers = source.groups(usecase, window, "slipway.caller", by_failures=True)
    rest = Group(
        "",
        totals.rows - sum(caller.rows for caller in callers),
        totals.failed - sum(caller.failed for caller in callers),
    )
    failing = [caller for caller in callers if caller.failed]
    refused = source.refused(usecase, window)
    if not (totals.rows or refused):
        require_usecase(source, usecase)
    return CallerErrors(usecase, iso(since), totals.rows, totals.failed, failing, rest, refused)
