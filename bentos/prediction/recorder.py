"""Recorder: logs an event for each predicted row, and counts predictions, warnings and failures by role."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from bentos.errors import ModelError
from bentos.models import LoadedModel
from bentos.prediction.context import ServingContext
from bentos.prediction.types import CANARY, SHADOW, ParsedRows, PredictionCall
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.prediction_event import EventRequest
from slipway.inference import InputWarning, Prediction, image_statistics, pixels_sha256
from slipway.timestamps import now_iso

Identity = tuple[bytes | None, int | None]
_encode = msgspec.json.Encoder().encode


class ModelRun(msgspec.Struct, frozen=True):
    """Start and end of a run of the model in `perf_counter_ns()`, and the time of day at its end."""

    began: int
    ended: int
    timestamp: str

    @classmethod
    def since(cls, began: int) -> ModelRun:
        """Return the run that began then, and ends now."""
        return cls(began, time.perf_counter_ns(), now_iso())


def event_encoder(call: PredictionCall, ran: ModelRun, error: Exception | None = None) -> EventEncoder:
    """Return the encoder of the events of one run, with the fields that all its rows share."""
    live = call.live
    return EventEncoder(
        environment=call.context.settings.environment,
        usecase=call.context.usecase,
        version=live.version,
        bundle_sha256=live.digest,
        role=call.role,
        answered=error is None and call.role != SHADOW,
        timestamp=ran.timestamp,
        model_ms=(ran.ended - ran.began) / 1e6,
        outcome="success" if error is None else "failure",
        error_type=None if error is None else type(error).__name__,
    )


def record_failure(call: PredictionCall, parsed: ParsedRows, began: int, error: Exception) -> None:
    """Count a failed call, and log an event without a prediction for each row."""
    count_error(call.context, call.live, call.role)
    call.context.log(_failure_lines(call, parsed, began, error))


def record_canary_failure(call: PredictionCall, parsed: ParsedRows) -> None:
    """Record the failure of the canary that this call replaces; the rows are parsed by the schema of the call's model.

    Events are logged as by `record_failure`.
    """
    canary = call.canary_failure
    assert canary is not None
    reason = canary.error.reason if isinstance(canary.error, ModelError) else ModelError.reason
    context, metrics, version = call.context, call.context.metrics, canary.live.version
    metrics.of(metrics.canary_fallbacks, context.usecase, version, reason).inc()
    if reason != "busy":
        count_error(context, canary.live, CANARY)
    failed = msgspec.structs.replace(call, live=canary.live, role=CANARY)
    context.log(_failure_lines(failed, parsed, canary.began, canary.error))


def _failure_lines(call: PredictionCall, parsed: ParsedRows, began: int, error: Exception) -> list[bytes]:
    ran = ModelRun.since(began)
    return event_lines([call], event_encoder(call, ran, error), ran, [parsed], repeat(b"{}"))


def event_lines(
    calls: Sequence[PredictionCall],
    events: EventEncoder,
    ran: ModelRun,
    parsed: Sequence[ParsedRows],
    predictions: Iterable[bytes],
    warnings: Sequence[InputWarning] = (),
    hits: Sequence[bool] = (),
) -> list[bytes]:
    """Encode one event for each row of the calls, in their order. `hits` are the rows that a cache answered."""
    requests, rows, features, keys = [], [], [], []
    for call, one in zip(calls, parsed, strict=True):
        number = len(one.ids)
        context = call.request
        taken = ran.ended - call.started
        request = EventRequest(context.trace_id, context.request_id, taken, context.caller, one.is_test)
        requests.append((request, number))
        rows += one.ids
        features += one.texts or [_encode(_logged_row(call, row, events.answered)) for row in one.rows]
        keys += one.keys or [None] * number
    by_row = _encode_warnings(warnings)
    return events.encode_rows(
        requests,
        rows,
        features,
        _identities(calls, parsed),
        predictions,
        keys=keys,
        warnings=[by_row.get(index, b"[]") for index in range(len(rows))] if by_row else repeat(b"[]"),
        cached=hits or repeat(False),
    )


def _identities(calls: Sequence[PredictionCall], parsed: Sequence[ParsedRows]) -> list[Identity]:
    """Return key and bucket of every row of calls to one model."""
    identify, secret = calls[0].live.identify, calls[0].context.secret
    if calls[0].live.schema.plain:
        return identify.of_texts(secret, [text for one in parsed for text in one.texts or ()])
    return [identify.of_row(secret, row) for one in parsed for row in one.rows]


def _encode_warnings(warnings: Sequence[InputWarning]) -> Mapping[int, bytes]:
    """Encode the warnings as events have them, by the index of their row."""
    if not warnings:
        return {}
    by_row: dict[int, list[dict[str, str]]] = defaultdict(list)
    for warning in warnings:
        by_row[warning.instance].append({"feature": warning.feature, "reason": warning.reason})
    return {index: _encode(found) for index, found in by_row.items()}


def _logged_row(call: PredictionCall, row: dict[str, Any], answered: bool) -> dict[str, Any]:
    """Return the row with each image as its four statistics and its digest; capture the image where that is on."""
    live = call.live
    if not live.schema.images:
        return row
    logged = dict(row)
    for feature in live.schema.images:
        pixels = row[feature.name]
        sha256 = pixels_sha256(pixels)
        logged[feature.name] = image_statistics(pixels) | {"sha256": sha256}
        if answered and live.serving.get("capture"):
            call.context.capture.keep(call.context.usecase, sha256, pixels)
    return logged


def count(
    call: PredictionCall,
    events: EventEncoder,
    requests: int,
    predictions: Sequence[Prediction],
    warnings: Sequence[InputWarning],
) -> None:
    """Count `requests` that one run of one model answered in one role.

    Warnings are of the rows, not of the model: those of a shadow are counted with the response that it copies.
    """
    metrics, name, version, role = call.context.metrics, call.context.usecase, events.version, events.role
    observe = metrics.of(metrics.model_seconds, name, version, role).observe
    for _ in range(requests):
        observe(events.model_ms / 1000)
    if len(predictions) == 1:
        metrics.of(metrics.predictions, name, version, role, predictions[0].label or "").inc()
    else:
        for label, number in Counter([prediction.label or "" for prediction in predictions]).items():
            metrics.of(metrics.predictions, name, version, role, label).inc(number)
    scores = [prediction.score for prediction in predictions if prediction.score is not None]
    if scores:
        metrics.of(metrics.scores, name, version, role).observe_all(scores)
    if warnings and events.answered:
        for (feature, reason), number in Counter([(w.feature, w.reason) for w in warnings]).items():
            metrics.of(metrics.warnings, name, feature, reason).inc(number)


def count_error(context: ServingContext, live: LoadedModel, role: str) -> None:
    """Count a request that the model failed."""
    context.metrics.of(context.metrics.model_errors, context.usecase, live.version, role).inc()
