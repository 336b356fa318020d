"""Saved searches: the questions of `slipway find`, for people who have Kibana open."""

from __future__ import annotations

from dataclasses import dataclass

from elk.kibana import fields
from elk.kibana.conditions import Conditions, has, lacks
from elk.kibana.data_views import AUDIT, EVERYTHING, FEEDBACK, PREDICTIONS, SERVICE, DataView


@dataclass(frozen=True)
class SavedSearch:
    """A search of documents, newest first, with the fields that it shows as columns."""

    id: str
    title: str
    about: str
    view: DataView
    columns: tuple[str, ...]
    of: Conditions = ()


_MODEL = (fields.USECASE, fields.ROLE, fields.VERSION)
_PREDICTION = SavedSearch(
    "slipway-search-prediction",
    "Slipway: One prediction",
    "Type an id of a response, a trace.id, an X-Request-Id or a key: events, labels, log lines and the audit.",
    EVERYTHING,
    (*_MODEL, fields.OUTCOME, fields.LABEL, fields.SCORE, fields.MESSAGE, fields.TRACE, fields.ROW, fields.KEY),
)
_FAILURES = SavedSearch(
    "slipway-search-failures",
    "Slipway: Failed predictions",
    "Rows that failed, with the type of their error and the pseudonym of the caller.",
    PREDICTIONS,
    (*_MODEL, fields.ERROR, fields.CALLER, fields.TRACE, fields.REQUEST, fields.ROW),
    (has(fields.OUTCOME, "failure"),),
)
_ANSWERS = SavedSearch(
    "slipway-search-responses",
    "Slipway: Responses",
    "What callers got: label, score and version of each row.",
    PREDICTIONS,
    (*_MODEL, fields.LABEL, fields.VALUE, fields.SCORE, fields.DURATION, fields.CALLER, fields.TRACE, fields.ROW),
    (has(fields.ANSWERED, True),),
)
_CANARIES = SavedSearch(
    "slipway-search-canaries",
    "Slipway: Canaries and shadows",
    "Events of versions that are not the champion, to be compared by slipway.row_id.",
    PREDICTIONS,
    (*_MODEL, fields.OUTCOME, fields.ERROR, fields.LABEL, fields.SCORE, fields.ROW),
    (has(fields.ROLE, "canary", "shadow"),),
)
_LABELS = SavedSearch(
    "slipway-search-labels",
    "Slipway: Labels",
    "Ground truth as it was sent: a row may have several labels, of several callers.",
    FEEDBACK,
    (fields.USECASE, fields.ROW, fields.KEY, fields.LABEL, fields.VALUE, fields.KNOWN_AT, fields.CALLER),
)
_CHANGES = SavedSearch(
    "slipway-search-audit",
    "Slipway: What was done to models",
    "The audit: promotions, rollouts, rollbacks, refusals and altered versions, with who and why.",
    AUDIT,
    (fields.USECASE, fields.ACTION, fields.VERSION, fields.WHO, fields.REASON),
)
_PROBLEMS = SavedSearch(
    "slipway-search-problems",
    "Slipway: Warnings and errors",
    "Log lines of services and pipelines that are no plain information.",
    SERVICE,
    (fields.PROCESS, fields.LEVEL, fields.LOGGER, fields.MESSAGE, fields.TRACE),
    (lacks(fields.LEVEL, "info", "debug"),),
)
SEARCHES = (_PREDICTION, _FAILURES, _ANSWERS, _CANARIES, _LABELS, _CHANGES, _PROBLEMS)
AUDIT_SEARCH, PROBLEMS_SEARCH, FAILURES_SEARCH = _CHANGES.id, _PROBLEMS.id, _FAILURES.id
