"""Record: what a prediction leaves behind, by each role: an event for each row in the log, and the counters."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from bentos.errors import Busy, Late
from bentos.models import Loaded
from bentos.request import Head
from bentos.worker import Served
from slipway.events import PredictionContext, now_iso
from slipway.predictor import InputWarning, Prediction, image_statistics, pixels_sha256
from slipway.schema import row_identity

CHAMPION, CANARY, SHADOW = "champion", "canary", "shadow"


class Asked(NamedTuple):
    """The rows of a request, masked, each with its id; `keys` are the caller's own."""

    ids: list[str]
    rows: list[dict[str, Any]]
    keys: list[str] | None


class Fallen(NamedTuple):
    """A canary that was to answer and did not; `began` is `perf_counter()` when it was asked."""

    live: Loaded
    error: Exception
    began: float


def context(
    served: Served, live: Loaded, head: Head, role: str, started: int, began: float, error: Exception | None = None
) -> PredictionContext:
    """What the events of this request's rows have in common; `began` is `perf_counter()` before the model ran."""
    return PredictionContext(
        environment=served.settings.environment,
        usecase=served.name,
        version=live.version,
        bundle_sha256=live.digest,
        role=role,
        answered=error is None and role != SHADOW,
        trace_id=head.trace_id,
        request_id=head.request_id,
        timestamp=now_iso(),
        duration_ns=time.perf_counter_ns() - started,
        model_ms=(time.perf_counter() - began) * 1000,
        outcome="success" if error is None else "failure",
        error_type=None if error is None else type(error).__name__,
        caller=head.caller,
    )


def failed(
    served: Served, live: Loaded, head: Head, role: str, started: int, began: float, raised: Exception, asked: Asked
) -> None:
    """Count it, and leave an event without a prediction for each row."""
    error(served, live, role)
    about = context(served, live, head, role, started, began, raised)
    served.log(served.predictions, lines(served, live, about, asked), required=False)


def fallen(served: Served, live: Loaded, canary: Fallen, head: Head, started: int, asked: Asked) -> None:
    """The same for a canary whose place `live` takes, which has read the rows by its own schema."""
    reason = {Late: "late", Busy: "busy"}.get(type(canary.error), "error")
    metrics, version = served.metrics, canary.live.version
    metrics.of(metrics.canary_fallbacks, served.name, version, reason).inc()
    if reason != "busy":
        error(served, canary.live, CANARY)
    about = context(served, canary.live, head, CANARY, started, canary.began, canary.error)
    served.log(served.predictions, lines(served, live, about, asked), required=False)


def lines(
    served: Served,
    live: Loaded,
    about: PredictionContext,
    asked: Asked,
    predictions: Sequence[Prediction] = (),
    warnings: Sequence[InputWarning] = (),
    hits: Sequence[bool] = (),
) -> list[bytes]:
    """One event for each row; a failed request's have no prediction. `hits` are the rows that a cache answered."""
    schema, keys, nothing = live.schema, asked.keys, Prediction()
    remembered = msgspec.structs.replace(about, cached=True) if True in hits else about
    strange: dict[int, list[dict[str, str]]] = defaultdict(list)
    for warning in warnings:
        strange[warning.instance].append({"feature": warning.feature, "reason": warning.reason})
    found_lines = []
    for index, (identity, row) in enumerate(zip(asked.ids, asked.rows, strict=True)):
        key_of_row, split_bucket = row_identity(row, schema, served.secret)
        found = predictions[index] if predictions else nothing
        line = (remembered if hits and hits[index] else about).line(
            identity,
            _logged(served, live, row, about.answered) if schema.images else row,
            row_key=key_of_row,
            split_bucket=split_bucket,
            key=keys[index] if keys else None,
            label=found.label,
            value=found.value,
            score=found.score,
            probabilities=found.probabilities,
            warnings=strange.get(index, ()),
        )
        found_lines.append(line)
    return found_lines


def _logged(served: Served, live: Loaded, row: dict[str, Any], answered: bool) -> dict[str, Any]:
    """The row with each image as its four statistics and its digest; captured where the use case says so."""
    logged = dict(row)
    for feature in live.schema.images:
        pixels = row[feature.name]
        sha256 = pixels_sha256(pixels)
        logged[feature.name] = image_statistics(pixels) | {"sha256": sha256}
        if answered and live.serving.get("capture"):
            served.capture.keep(sha256, pixels)
    return logged


def count(
    served: Served, about: PredictionContext, predictions: Sequence[Prediction], warnings: Sequence[InputWarning]
) -> None:
    """Warnings are of the rows, not of the model: those of a shadow are counted with the answer that it copies."""
    metrics, name, version, role = served.metrics, served.name, about.version, about.role
    metrics.of(metrics.model_seconds, name, version, role).observe(about.model_ms / 1000)
    for label, number in Counter(found.label or "" for found in predictions).items():
        metrics.of(metrics.predictions, name, version, role, label).inc(number)
    if warnings and about.answered:
        for (feature, reason), number in Counter((w.feature, w.reason) for w in warnings).items():
            metrics.of(metrics.warnings, name, feature, reason).inc(number)


def error(served: Served, live: Loaded, role: str) -> None:
    """Count a request that the model failed."""
    served.metrics.of(served.metrics.model_errors, served.name, live.version, role).inc()
