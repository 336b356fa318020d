"""Feedback: the true label or value of a prediction, sent when it is known."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from bentos.errors import LogUnavailable
from bentos.models import LoadedModel
from bentos.request import RequestContext
from bentos.worker import ServedModel
from slipway.contracts.events.feedback_event import feedback_line, is_plausible
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.errors import InputError, suggestion
from slipway.ids import ROW_ID, made_ms
from slipway.inference.json_errors import describe_syntax, split_message
from slipway.inference.json_limits import require_bounded
from slipway.timestamps import from_ms, iso

_ID = re.compile(ROW_ID)
_ELEMENTS = 8  # of JSON, in an entry
# Patterns of the document alone: `_check` refuses with a sentence, which a pattern of msgspec's does not
_DESCRIBED_ID = msgspec.Meta(description="As a prediction has it", extra_json_schema={"pattern": f"^{_ID.pattern}$"})
_DESCRIBED_TIME = msgspec.Meta(
    description="When it was known, in the last ten years; null: now",
    extra_json_schema={"format": "date-time", "pattern": "^(19[7-9]|2[0-9]{2})"},
)

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class FeedbackEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One label or value, for the prediction with this `id`, or for the latest prediction with this `key`."""

    id: Annotated[str | None, _DESCRIBED_ID] = None
    key: _Text | None = None
    label: _Text | None = None
    value: float | None = None
    known_at: Annotated[datetime | None, _DESCRIBED_TIME] = None


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a feedback request."""

    feedback: list[FeedbackEntry]


class FeedbackResponse(msgspec.Struct):
    """The body of the response to a feedback request: the ids of its events."""

    request_id: str
    ids: list[str]


_decoder = msgspec.json.Decoder(FeedbackRequest)


def accept(served: ServedModel, live: LoadedModel, context: RequestContext, entries: Sequence[FeedbackEntry]) -> bytes:
    """Log every entry or none, and return the response with the ids of their events.

    Raises:
        InputError: 422 with the place where an entry is wrong.
        LogUnavailable: the log cannot be written; a lost label would go unnoticed.
    """
    moment = datetime.now(UTC)
    for index, entry in enumerate(entries):
        _check(entry, live, f"feedback[{index}]", moment)
    now = iso(moment, "microseconds")
    events = [
        feedback_line(
            environment=served.settings.environment,
            usecase=served.name,
            trace_id=context.trace_id,
            timestamp=now,
            known_at=iso(min(entry.known_at, moment), "microseconds") if entry.known_at else now,
            row=entry.id,
            key=entry.key,
            label=entry.label,
            value=entry.value,
            caller=context.caller,
        )
        for entry in entries
    ]
    if not served.log(served.feedback, [line for _, line in events]):
        raise LogUnavailable
    return msgspec.json.encode(FeedbackResponse(context.request_id, [event_id for event_id, _ in events]))


def read_entries(body: bytes, max_entries: int) -> list[FeedbackEntry]:
    """Return the entries of a body, which `accept` checks.

    Raises:
        InputError: 400 where the body is not JSON, 413 for too many entries, 422 where one has another form.
    """
    require_bounded(body, max_entries * _ELEMENTS)
    try:
        entries = _decoder.decode(body.removeprefix(codecs.BOM_UTF8)).feedback
    except msgspec.ValidationError as error:
        wrong, place = split_message(str(error))
        raise InputError(f"{wrong}.", place) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f'{describe_syntax(body, error)} Send {{"feedback": [{{…}}]}}.', status=400) from None
    if not entries:
        raise InputError("no feedback received; at least one entry is needed.", "feedback")
    if len(entries) > max_entries:
        raise InputError(f"{len(entries)} entries received, at most {max_entries} are allowed.", "feedback", 413)
    return entries


def _check(entry: FeedbackEntry, live: LoadedModel, place: str, now: datetime) -> None:
    if (entry.id is None) == (entry.key is None):
        raise InputError("either the `id` of a prediction or your own `key` is needed, not both.", place)
    if entry.id is not None and not _may_be_a_prediction(entry.id, now):
        raise InputError(f"{entry.id[:60]!r} is not the id of a prediction, as answered under `id`.", f"{place}.id")
    if entry.known_at is not None and not (entry.known_at.tzinfo and is_plausible(entry.known_at, now)):
        raise InputError(
            f"a time with its zone is needed, not in the future and at most ten years ago, as {iso(now, 'seconds')}.",
            f"{place}.known_at",
        )
    _check_truth(entry, live, place)


def _may_be_a_prediction(id: str, now: datetime) -> bool:
    """Whether a server may have made the id, which begins with its time; the label join finds out whether one did."""
    made = made_ms(id) if _ID.fullmatch(id) else None
    return made is not None and is_plausible(from_ms(made), now)


def _check_truth(entry: FeedbackEntry, live: LoadedModel, place: str) -> None:
    schema = live.schema
    if schema.task == "regression":
        if entry.value is None or entry.label is not None:
            raise InputError(f"the `value` of {schema.target} is needed, a number, and no `label`.", place)
        return
    if entry.label is None or entry.value is not None:
        raise InputError(f"the `label` of {schema.target} is needed, and no `value`.", place)
    if entry.label not in schema.classes:
        allowed = ", ".join(schema.classes)
        hint = suggestion(entry.label, schema.classes)
        raise InputError(f"{entry.label[:60]!r} is no class.{hint} Allowed: {allowed}.", f"{place}.label")
