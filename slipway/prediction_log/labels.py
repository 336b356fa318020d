"""The join of labels: which row a label means, and which of several labels for a row is the one that holds.

A label names its row by id, or by the caller's key, which means the latest answered prediction with that key before
the label was known. Of several, the one known last holds; of those known at the same time, the one sent last.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.prediction_log.lines import literals

_JOIN = """
WITH told AS (
    SELECT "slipway.row_id" AS row_id, "slipway.key" AS key, "slipway.label" AS label, "slipway.value" AS value,
        coalesce("slipway.known_at", "@timestamp") AS known_at, "@timestamp" AS sent_at, "event.id" AS id
    FROM {feedback}
    WHERE {usable}
), keyed AS (
    SELECT "slipway.key" AS key, "@timestamp" AS answered_at, max("slipway.row_id") AS row_id
    FROM {answered} WHERE "slipway.key" IS NOT NULL GROUP BY ALL
), placed AS (
    SELECT row_id, label, value, known_at, sent_at, id FROM told WHERE row_id IS NOT NULL
    UNION ALL
    SELECT keyed.row_id, label, value, known_at, sent_at, id
    FROM (FROM told WHERE row_id IS NULL) AS told
    ASOF JOIN keyed ON told.key = keyed.key AND told.known_at > keyed.answered_at
), holding AS (
    SELECT DISTINCT ON (row_id) row_id, label AS label_true, value AS value_true, known_at
    FROM placed ORDER BY row_id, known_at DESC, sent_at DESC, id DESC
)
SELECT answered.*, holding.label_true, holding.value_true, holding.known_at
FROM {answered} AS answered JOIN holding ON answered."slipway.row_id" = holding.row_id
"""


def labelled(answered: str, feedback: str, labels: Collection[str] | None) -> str:
    """The query over two tables: each answered prediction that has a label, with `label_true` or `value_true`, and
    `known_at`. A label that is not among `labels` (where given) or a value that is no finite number is no label."""
    known = f'"slipway.label" IN {literals(labels)}' if labels is not None else '"slipway.label" IS NOT NULL'
    usable = f'{known} OR isfinite("slipway.value")'
    return _JOIN.format(answered=answered, feedback=feedback, usable=usable)
