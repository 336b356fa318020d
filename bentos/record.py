"""Record: what a prediction leaves behind, by each role: an event for each row in the log, and the counters."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from bentos.call import CANARY, SHADOW, Asked, Call
from bentos.errors import Busy, Late
from bentos.models import Loaded
from bentos.worker import Served
from slipway.events import PredictionContext, now_iso
from slipway.predictor import InputWarning, Prediction, image_statistics, pixels_sha256

Identity = tuple[bytes | None, int | None]
_encode = msgspec.json.Encoder().encode


class Ran(msgspec.Struct, frozen=True):
    """When the model ran: from and to in `perf_counter_ns()`, and the time of day that it was then."""

    began: int
    ended: int
    timestamp: str

    @classmethod
    def since(cls, began: int) -> Ran:
        return cls(began, time.perf_counter_ns(), now_iso())


def context(call: Call, ran: Ran, error: Exception | None = None) -> PredictionContext:
    """What the events of this request's rows have in common."""
    live, head = call.live, call.head
    return PredictionContext(
        environment=call.served.settings.environment,
        usecase=call.served.name,
        version=live.version,
        bundle_sha256=live.digest,
        role=call.role,
        answered=error is None and call.role != SHADOW,
        trace_id=head.trace_id,
        request_id=head.request_id,
        timestamp=ran.timestamp,
        duration_ns=ran.ended - call.started,
        model_ms=(ran.ended - ran.began) / 1e6,
        outcome="success" if error is None else "failure",
        error_type=None if error is None else type(error).__name__,
        caller=head.caller,
    )


def failed(call: Call, asked: Asked, began: int, raised: Exception) -> None:
    """Count it, and leave an event without a prediction for each row."""
    error(call.served, call.live, call.role)
    about = context(call, Ran.since(began), raised)
    call.served.log(call.served.predictions, lines(call, about, asked, identities([call], [asked])))


def fallen(call: Call, asked: Asked) -> None:
    """The same for a canary whose place the call's model takes, which has read the rows by its own schema."""
    canary = call.fallen
    assert canary is not None
    reason = {Late: "late", Busy: "busy"}.get(type(canary.error), "error")
    served, metrics, version = call.served, call.served.metrics, canary.live.version
    metrics.of(metrics.canary_fallbacks, served.name, version, reason).inc()
    if reason != "busy":
        error(served, canary.live, CANARY)
    fell = msgspec.structs.replace(call, live=canary.live, role=CANARY)
    about = context(fell, Ran.since(canary.began), canary.error)
    served.log(served.predictions, lines(fell, about, asked, identities([fell], [asked])))


def identities(calls: Sequence[Call], asked: Sequence[Asked]) -> list[Identity]:
    """Key and bucket of every row of calls to one model."""
    identify, secret = calls[0].live.identify, calls[0].served.secret
    if calls[0].live.schema.plain:
        return identify.of_texts(secret, [text for one in asked for text in one.texts or ()])
    return [identify.of_row(secret, row) for one in asked for row in one.rows]


def lines(
    call: Call,
    about: PredictionContext,
    asked: Asked,
    identified: Sequence[Identity],
    answers: Sequence[bytes] = (),
    warnings: Sequence[InputWarning] = (),
    hits: Sequence[bool] = (),
) -> list[bytes]:
    """One event for each row; a failed request's have no answer. `hits` are the rows that a cache answered."""
    features = asked.texts
    if features is None:
        features = [_encode(_logged(call, row, about.answered)) for row in asked.rows]
    strange = _by_row(warnings)
    return about.lines(
        asked.ids,
        features,
        answers or repeat(b"{}"),
        identified,
        keys=asked.keys or repeat(None),
        warnings=[strange.get(index, b"[]") for index in range(len(asked.ids))] if strange else repeat(b"[]"),
        hits=hits,
    )


def _by_row(warnings: Sequence[InputWarning]) -> Mapping[int, bytes]:
    """The warnings as the events have them."""
    if not warnings:
        return {}
    strange: dict[int, list[dict[str, str]]] = defaultdict(list)
    for warning in warnings:
        strange[warning.instance].append({"feature": warning.feature, "reason": warning.reason})
    return {index: _encode(found) for index, found in strange.items()}


def _logged(call: Call, row: dict[str, Any], answered: bool) -> dict[str, Any]:
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
    call: Call,
    about: PredictionContext,
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


def error(served: Served, live: Loaded, role: str) -> None:
    """Count a request that the model failed."""
    served.metrics.of(served.metrics.model_errors, served.name, live.version, role).inc()
