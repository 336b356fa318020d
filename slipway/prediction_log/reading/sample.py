"""The sample of the log: the answered events with the smallest digests of their `row_id`, whatever their order.

The sample of a union is the sample of its parts' samples. Compaction therefore writes the sample of each compacted file
beside it, as `compacted-DIGEST.sample`, and a reader needs no other event of a file that is wholly in its window.
"""

from __future__ import annotations

from datetime import datetime

from slipway.prediction_log.layout import PARQUET, SAMPLE
from slipway.prediction_log.reading.metadata import Metadata

MOST_ROWS = 10_000
COUNTS = '"slipway.test" IS NOT TRUE'
ANSWERED = f'"slipway.answered" AND {COUNTS}'
ROW_GROUP = 2_048
_DIGEST = "md5({row_id})[:16], {row_id}"


def chosen(events: str, n: int) -> str:
    """Write the query of the `row_id`s that are sampled from answered events."""
    order = _DIGEST.format(row_id="row_id")
    return f'SELECT DISTINCT "slipway.row_id" AS row_id FROM ({events}) ORDER BY {order} LIMIT {n}'


def of_file(events: str) -> str:
    """Write the query of a compacted file's sample, the smallest digests first."""
    answered = f"FROM ({events}) WHERE {ANSWERED}"
    return f"""SELECT * FROM ({answered}) SEMI JOIN ({chosen(answered, MOST_ROWS)}) AS chosen
        ON "slipway.row_id" = chosen.row_id ORDER BY {_DIGEST.format(row_id='"slipway.row_id"')}"""


def name(compacted: str) -> str:
    """Name the sample of a compacted file."""
    return compacted.removesuffix(PARQUET) + SAMPLE


def is_within(metadata: Metadata, since: datetime | None, until: datetime | None) -> bool:
    """Whether all events of a compacted file are in the window."""
    if metadata.times is None:
        return False
    first, last = metadata.times
    return (since is None or first >= since) and (until is None or last < until)
