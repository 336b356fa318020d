"""Joins feedback to predictions, by one rule that no single caller can turn, for monitoring, rollouts and training.

A label names its row by id, or by the caller's key, which means the latest answered prediction with that key before the
label was known, of each caller that made one.

1. Each caller has one vote on a row: its label that was known last, and of those known at the same time the one that
   was sent last. No label is known later than it was sent.
2. On a row whose caller is known, only that caller votes, unless `feedback.labelers` of the use case is `any`.
3. The vote of the row's own caller decides. Without it, the label with most votes does; if several have as many, the
   row is contradicted, and has no label.

A label without a caller was sent while no credential was needed, or written on the machine of the log: it always counts
as a vote.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.prediction_log.jsonl import literals

_JOIN = """
WITH feedback_rows AS (
    SELECT "slipway.row_id" AS row_id, "slipway.key" AS key, "slipway.label" AS label, "slipway.value" AS value,
        least(coalesce("slipway.known_at", "@timestamp"), "@timestamp") AS known_at, "@timestamp" AS sent_at,
        "event.id" AS id, coalesce("slipway.caller", '') AS caller
    FROM {feedback}
    WHERE ({usable}) AND NOT list_contains({without}::VARCHAR[], coalesce("slipway.caller", ''))
), answered_rows AS (
    SELECT DISTINCT "slipway.row_id" AS row_id, "slipway.key" AS key, "@timestamp" AS answered_at,
        coalesce("slipway.caller", '') AS owner
    FROM {answered}
    WHERE "slipway.row_id" IN (SELECT row_id FROM feedback_rows) OR "slipway.key" IN (SELECT key FROM feedback_rows)
), keyed AS (
    SELECT key, owner, answered_at, max(row_id) AS row_id FROM answered_rows WHERE key IS NOT NULL GROUP BY ALL
), by_row AS (
    SELECT row_id, owner, label, value, known_at, sent_at, id, caller
    FROM feedback_rows JOIN answered_rows USING (row_id)
    UNION ALL
    SELECT keyed.row_id, keyed.owner, label, value, known_at, sent_at, id, caller
    FROM (
        SELECT feedback_rows.*, owner
        FROM feedback_rows JOIN (SELECT DISTINCT key, owner FROM keyed) AS owners USING (key)
        WHERE row_id IS NULL
    ) AS by_key
    ASOF JOIN keyed ON by_key.key = keyed.key AND by_key.owner = keyed.owner AND by_key.known_at > keyed.answered_at
), votes AS (
    SELECT DISTINCT ON (row_id, caller) *, owner <> '' AND caller = owner AS own
    FROM by_row WHERE {may_vote} ORDER BY row_id, caller, known_at DESC, sent_at DESC, id DESC
), counted AS (
    SELECT *, count(*) OVER (PARTITION BY row_id, label, value) AS agreeing FROM votes
), foremost AS (
    FROM counted QUALIFY rank() OVER (PARTITION BY row_id ORDER BY own DESC, agreeing DESC) = 1
), decided AS (
    SELECT DISTINCT ON ({one}) row_id, label AS label_true, value AS value_true, known_at, caller AS label_caller
    FROM {voices} ORDER BY row_id, known_at DESC, sent_at DESC, id DESC
)
SELECT answered.*, decided.label_true, decided.value_true, decided.known_at, decided.label_caller
FROM {answered} AS answered JOIN decided ON answered."slipway.row_id" = decided.row_id
"""
# Of as many votes as there are for the leading label: more of them mean that another label has as many.
_UNCONTRADICTED = "(FROM foremost QUALIFY own OR count(*) OVER (PARTITION BY row_id) = agreeing)"


def label_join(
    answered: str,
    feedback: str,
    labels: Collection[str] | None,
    without: Collection[str] = (),
    each_caller: bool = False,
    any_labeler: bool = False,
) -> str:
    """Write the query that joins two tables: each answered prediction that has a label, with `label_true` or
    `value_true`, `known_at` and `label_caller` ("" if the caller is not known).

    Args:
        answered: the table of answered predictions.
        feedback: the table of feedback.
        labels: the classes; any other label is ignored, as is a value that is not finite.
        without: callers whose labels are ignored.
        each_caller: a prediction has a row for each caller that labelled it, with that caller's vote.
        any_labeler: callers vote on the rows of others.
    """
    known = f'"slipway.label" IN {literals(labels)}' if labels is not None else '"slipway.label" IS NOT NULL'
    return _JOIN.format(
        answered=answered,
        feedback=feedback,
        usable=f'{known} OR isfinite("slipway.value")',
        without=literals(without),
        may_vote="true" if any_labeler else "owner = '' OR caller IN (owner, '')",
        voices="votes" if each_caller else _UNCONTRADICTED,
        one="row_id, caller" if each_caller else "row_id",
    )
