"""Record: what a prediction leaves behind, by each role: an event for each row in the log, and the counters."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from bentos.errors import Busy, Late
from bentos.models import LoadedModel
from bentos.prediction.types import CANARY, SHADOW, ParsedRows, PredictionCall
from bentos.worker import ServedModel
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.prediction_event import EventRequest
from slipway.inference import InputWarning, Prediction, image_statistics, pixels_sha256
from slipway.timestamps import now_iso

Identity = tuple[bytes | None, int | None]
_encode = msgspec.json.Encoder().encode


class ModelRun(msgspec.Struct, frozen=True):
    """When the model ran: from and to in `perf_counter_ns()`, and the time of day that it was then."""

    began: int
    ended: int
    timestamp: str

    @classmethod
    def since(cls, began: int) -> ModelRun:
        return cls(began, time.perf_counter_ns(), now_iso())


def context(call: PredictionCall, ran: ModelRun, error: Exception | None = None) -> EventEncoder:
    """What the events have in common of the rows that this call's model answered in one run, or failed."""
    live = call.live
    return EventEncoder(
        environment=call.served.settings.environment,
        usecase=call.served.name,
        version=live.version,
        bundle_sha256=live.digest,
        role=call.role,
        answered=error is None and call.role != SHADOW,
        timestamp=ran.timestamp,
        model_ms=(ran.ended - ran.began) / 1e6,
        outcome="success" if error is None else "failure",
        error_type=None if error is None else type(error).__name__,
    )


def failed(call: PredictionCall, asked: ParsedRows, began: int, raised: Exception) -> None:
    """Count it, and leave an event without a prediction for each row."""
    error(call.served, call.live, call.role)
    call.served.log(call.served.predictions, _without_answer(call, asked, began, raised))


def fallen(call: PredictionCall, asked: ParsedRows) -> None:
    """The same for a canary whose place the call's model takes, which has read the rows by its own schema."""
    canary = call.fallen
    assert canary is not None
    reason = {Late: "late", Busy: "busy"}.get(type(canary.error), "error")
    served, metrics, version = call.served, call.served.metrics, canary.live.version
    metrics.of(metrics.canary_fallbacks, served.name, version, reason).inc()
    if reason != "busy":
        error(served, canary.live, CANARY)
    fell = msgspec.structs.replace(call, live=canary.live, role=CANARY)
    served.log(served.predictions, _without_answer(fell, asked, canary.began, canary.error))


def _without_answer(call: PredictionCall, asked: ParsedRows, began: int, raised: Exception) -> list[bytes]:
    ran = ModelRun.since(began)
    return lines([call], context(call, ran, raised), ran, [asked], repeat(b"{}"))


def lines(
    calls: Sequence[PredictionCall],
    about: EventEncoder,
    ran: ModelRun,
    asked: Sequence[ParsedRows],
    answers: Iterable[bytes],
    warnings: Sequence[InputWarning] = (),
    hits: Sequence[bool] = (),
) -> list[bytes]:
    """One event for each row of these calls, in their order. `hits` are the rows that a cache answered."""
    requests, rows, features, keys = [], [], [], []
    for call, one in zip(calls, asked, strict=True):
        number = len(one.ids)
        head = call.head
        request = EventRequest(head.trace_id, head.request_id, ran.ended - call.started, head.caller)
        requests.append((request, number))
        rows += one.ids
        features += one.texts or [_encode(_logged(call, row, about.answered)) for row in one.rows]
        keys += one.keys or [None] * number
    strange = _by_row(warnings)
    return about.lines(
        requests,
        rows,
        features,
        _identities(calls, asked),
        answers,
        keys=keys,
        warnings=[strange.get(index, b"[]") for index in range(len(rows))] if strange else repeat(b"[]"),
        cached=hits or repeat(False),
    )


def _identities(calls: Sequence[PredictionCall], asked: Sequence[ParsedRows]) -> list[Identity]:
    """Key and bucket of every row of calls to one model."""
    identify, secret = calls[0].live.identify, calls[0].served.secret
    if calls[0].live.schema.plain:
        return identify.of_texts(secret, [text for one in asked for text in one.texts or ()])
    return [identify.of_row(secret, row) for one in asked for row in one.rows]


def _by_row(warnings: Sequence[InputWarning]) -> Mapping[int, bytes]:
    """The warnings as the events have them."""
    if not warnings:
        return {}
    strange: dict[int, list[dict[str, str]]] = defaultdict(list)
    for warning in warnings:
        strange[warning.instance].append({"feature": warning.feature, "reason": warning.reason})
    return {index: _encode(found) for index, found in strange.items()}


def _logged(call: PredictionCall, row: dict[str, Any], answered: bool) -> dict[str, Any]:
    """The row with each image as its four statistics and its digest; captured where the use case says so."""
    live = call.live
    if not live.schema.images:
        return row
    logged = dict(row)
    for feature in live.schema.images:
        pixels = row[feature.name]
        sha256 = pixels_sha256(pixels)
        logged[feature.name] = image_statistics(pixels) | {"sha256": sha256}
        if answered and live.serving.get("capture"):
            call.served.capture.keep(call.served.name, sha256, pixels)
    return logged


def count(
    call: PredictionCall,
    about: EventEncoder,
    requests: int,
    predictions: Sequence[Prediction],
    warnings: Sequence[InputWarning],
) -> None:
    """What so many requests have made, answered by one run of one model in one role.

    Warnings are of the rows, not of the model: those of a shadow are counted with the answer that it copies.
    """
    metrics, name, version, role = call.served.metrics, call.served.name, about.version, about.role
    observe = metrics.of(metrics.model_seconds, name, version, role).observe
    for _ in range(requests):
        observe(about.model_ms / 1000)
    if len(predictions) == 1:
        metrics.of(metrics.predictions, name, version, role, predictions[0].label or "").inc()
    else:
        for label, number in Counter([found.label or "" for found in predictions]).items():
            metrics.of(metrics.predictions, name, version, role, label).inc(number)
    if warnings and about.answered:
        for (feature, reason), number in Counter([(w.feature, w.reason) for w in warnings]).items():
            metrics.of(metrics.warnings, name, feature, reason).inc(number)


def error(served: ServedModel, live: LoadedModel, role: str) -> None:
    """Count a request that the model failed."""
    served.metrics.of(served.metrics.model_errors, served.name, live.version, role).inc()
