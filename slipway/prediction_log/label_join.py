"""The join of labels: which row a label means, and which of several labels for a row is the one that holds.

A label names its row by id, or by the caller's key, which means the latest answered prediction with that key before
the label was known. Of several, the one known last holds; of those known at the same time, the one sent last.
Where it matters who said what, each caller's own last word on a row can be had, and callers can be left out.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.prediction_log.jsonl import literals

_JOIN = """
WITH told AS (
    SELECT "slipway.row_id" AS row_id, "slipway.key" AS key, "slipway.label" AS label, "slipway.value" AS value,
        coalesce("slipway.known_at", "@timestamp") AS known_at, "@timestamp" AS sent_at, "event.id" AS id,
        coalesce("slipway.caller", '') AS caller
    FROM {feedback}
    WHERE ({usable}) AND NOT list_contains({without}::VARCHAR[], coalesce("slipway.caller", ''))
), keyed AS (
    SELECT "slipway.key" AS key, "@timestamp" AS answered_at, max("slipway.row_id") AS row_id
    FROM {answered} WHERE "slipway.key" IS NOT NULL GROUP BY ALL
), placed AS (
    SELECT row_id, label, value, known_at, sent_at, id, caller FROM told WHERE row_id IS NOT NULL
    UNION ALL
    SELECT keyed.row_id, label, value, known_at, sent_at, id, caller
    FROM (FROM told WHERE row_id IS NULL) AS told
    ASOF JOIN keyed ON told.key = keyed.key AND told.known_at > keyed.answered_at
), holding AS (
    SELECT DISTINCT ON ({one}) row_id, label AS label_true, value AS value_true, known_at, caller AS label_caller
    FROM placed ORDER BY row_id, known_at DESC, sent_at DESC, id DESC
)
SELECT answered.*, holding.label_true, holding.value_true, holding.known_at, holding.label_caller
FROM {answered} AS answered JOIN holding ON answered."slipway.row_id" = holding.row_id
"""


def labelled(
    answered: str,
    feedback: str,
    labels: Collection[str] | None,
    without: Collection[str] = (),
    each_caller: bool = False,
) -> str:
    """The query over two tables: each answered prediction that has a label, with `label_true` or `value_true`,
    `known_at` and `label_caller` ("" where the caller is not known). A label that is not among `labels` (where given)
    or a value that is no finite number is no label; one of a caller `without` whom it is to go has not been sent.

    With `each_caller` a prediction comes once for each caller, with that one's last word."""
    known = f'"slipway.label" IN {literals(labels)}' if labels is not None else '"slipway.label" IS NOT NULL'
    usable = f'{known} OR isfinite("slipway.value")'
    one = "row_id, caller" if each_caller else "row_id"
    return _JOIN.format(answered=answered, feedback=feedback, usable=usable, without=literals(without), one=one)
