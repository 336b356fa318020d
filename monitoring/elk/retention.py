"""How long Elasticsearch keeps the events of each stream, from the use cases' `monitoring.retention_days`.

All use cases of an environment share a stream, so a stream keeps what the most patient of them asks for; of the others
the watch deletes expired events (`shorter`).
"""

from __future__ import annotations

from collections.abc import Mapping

from slipway import config as usecases
from slipway.clients.elasticsearch.streams import AUDIT, FEEDBACK, PREDICTION, SERVICE
from slipway.settings import Settings

_LONGEST_ROLLOVER, _ROLLOVERS = 30, 30  # days; indices of a stream within its retention, unless they fill up before


def declared() -> dict[str, int | None]:
    """Read `monitoring.retention_days` of every use case of this checkout; None is for ever.

    Raises:
        UseCaseError: a use case is not valid; the message says where.
    """
    return {name: usecases.load(name).monitoring.retention_days for name in usecases.names()}


def stream_days(config: Settings, by_usecase: Mapping[str, int | None]) -> dict[str, int | None]:
    """The days that each dataset is kept, None for ever: the audit is, service logs go with results."""
    days = list(by_usecase.values())
    events = None if None in days or not days else max(day for day in days if day is not None)
    return {PREDICTION: events, FEEDBACK: events, SERVICE: config.keep_results_days or None, AUDIT: None}


def shorter(by_usecase: Mapping[str, int | None], stream: int | None) -> dict[str, int]:
    """The use cases whose events go before the stream's, with their days."""
    return {name: days for name, days in by_usecase.items() if days is not None and (stream is None or days < stream)}


def rollover_days(days: int | None) -> int:
    """The age at which an index rolls over: a thirtieth of the retention, by which events may outlive it."""
    return _LONGEST_ROLLOVER if days is None else min(_LONGEST_ROLLOVER, max(1, days // _ROLLOVERS))
