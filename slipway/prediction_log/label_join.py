"""Joins feedback to predictions. If a prediction has several labels, the latest `known_at` wins.

A label names its row by id, or by the caller's key, which means the latest answered prediction with that key before
the label was known. Of labels that were known at the same time, the one sent last wins. Labels can be joined per
caller, and without those of some callers.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.prediction_log.jsonl import literals

_JOIN = """
WITH feedback_rows AS (
    SELECT "slipway.row_id" AS row_id, "slipway.key" AS key, "slipway.label" AS label, "slipway.value" AS value,
        coalesce("slipway.known_at", "@timestamp") AS known_at, "@timestamp" AS sent_at, "event.id" AS id,
        coalesce("slipway.caller", '') AS caller
    FROM {feedback}
    WHERE ({usable}) AND NOT list_contains({without}::VARCHAR[], coalesce("slipway.caller", ''))
), keyed AS (
    SELECT "slipway.key" AS key, "@timestamp" AS answered_at, max("slipway.row_id") AS row_id
    FROM {answered} WHERE "slipway.key" IS NOT NULL GROUP BY ALL
), by_row AS (
    SELECT row_id, label, value, known_at, sent_at, id, caller FROM feedback_rows WHERE row_id IS NOT NULL
    UNION ALL
    SELECT keyed.row_id, label, value, known_at, sent_at, id, caller
    FROM (FROM feedback_rows WHERE row_id IS NULL) AS by_key
    ASOF JOIN keyed ON by_key.key = keyed.key AND by_key.known_at > keyed.answered_at
), latest AS (
    SELECT DISTINCT ON ({one}) row_id, label AS label_true, value AS value_true, known_at, caller AS label_caller
    FROM by_row ORDER BY row_id, known_at DESC, sent_at DESC, id DESC
)
SELECT answered.*, latest.label_true, latest.value_true, latest.known_at, latest.label_caller
FROM {answered} AS answered JOIN latest ON answered."slipway.row_id" = latest.row_id
"""


def label_join(
    answered: str,
    feedback: str,
    labels: Collection[str] | None,
    without: Collection[str] = (),
    each_caller: bool = False,
) -> str:
    """Write the query that joins two tables: each answered prediction that has a label, with `label_true` or
    `value_true`, `known_at` and `label_caller` ("" if the caller is not known).

    Args:
        answered: the table of answered predictions.
        feedback: the table of feedback.
        labels: the classes; any other label is ignored, as is a value that is not finite.
        without: callers whose labels are ignored.
        each_caller: a prediction has a row for each caller that labelled it, with that caller's latest label.
    """
    known = f'"slipway.label" IN {literals(labels)}' if labels is not None else '"slipway.label" IS NOT NULL'
    usable = f'{known} OR isfinite("slipway.value")'
    one = "row_id, caller" if each_caller else "row_id"
    return _JOIN.format(answered=answered, feedback=feedback, usable=usable, without=literals(without), one=one)
