"""Answer: from the body of a prediction request to the body of its answer, with its events in the log in between."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from bentos import multipart
from bentos.models import Loaded
from bentos.request import Head
from bentos.worker import Served
from slipway.errors import InputError, SlipwayError
from slipway.events import PredictionContext, now_iso, row_id
from slipway.instances import Request
from slipway.predictor import InputWarning, Prediction, image_statistics, images_decoded, pixels_sha256
from slipway.schema import mask, row_identity

ROLE = "champion"
_encode = msgspec.json.Encoder().encode


class ModelError(SlipwayError):
    """The network raised, or answered NaN: our fault, not the caller's."""


class _Row(msgspec.Struct, omit_defaults=True):
    id: str
    label: str | None = None
    value: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None


class _Answer(msgspec.Struct):
    model: msgspec.Raw
    request_id: str
    predictions: list[_Row]
    warnings: list[InputWarning]


def answer(served: Served, live: Loaded, head: Head, body: bytes, started: int) -> bytes:
    """The answer to a valid request; `started` is `perf_counter_ns()` at its first byte.

    Raises:
        InputError: the request cannot be answered.
        ModelError: the model failed; the failure is in the log.
        Unavailable: the log is required, and cannot be written.
    """
    rows, keys = _read(served, live, head, body)
    feeds = live.predictor.encode(rows)
    ids = [row_id(head.uuid, index) for index in range(len(rows))]
    began = time.perf_counter()
    try:
        outputs = _run(live, feeds)
    except ModelError as error:
        served.metrics.of(served.metrics.model_errors, served.name, live.version, ROLE).inc()
        failed = _context(served, live, head, started, began, error)
        served.log(served.predictions, _lines(served, live, failed, ids, rows, keys), required=False)
        raise
    context = _context(served, live, head, started, began)
    predictions = live.predictor.decode(outputs)
    warnings = live.predictor.encoder.warnings(feeds)
    lines = _lines(served, live, context, ids, rows, keys, predictions, warnings)
    served.log(served.predictions, lines, required=live.serving.get("log") == "required")
    _count(served, live, context, predictions, warnings)
    answers = [
        _Row(identity, found.label, found.value, found.score, found.probabilities)
        for identity, found in zip(ids, predictions, strict=True)
    ]
    return _encode(_Answer(live.model, head.request_id, answers, warnings))


def _read(served: Served, live: Loaded, head: Head, body: bytes) -> Request:
    """The instances, images decoded and private values masked, as the model was trained."""
    most = min(served.settings.max_instances, live.serving.get("max_instances", served.settings.max_instances))
    kind = head.content_type
    if kind == b"application/json" or not kind or _is_json(kind):
        rows, keys = live.reader.request(body, most)
    elif kind.startswith(multipart.CONTENT_TYPE):
        rows, keys = multipart.instances(live.schema, kind, body, most), None
    else:
        raise InputError(
            f"Content-Type {kind.decode('latin-1')!r} came; send application/json, or images as multipart/form-data.",
            status=415,
        )
    if live.schema.images:
        rows = images_decoded(live.schema, rows, served.settings.max_pixels)
    if live.schema.masked:
        rows = [mask(row, live.schema, served.secret) for row in rows]
    return Request(rows, keys)


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.partition(b"charset=")[2].strip(b' "')
    return kind.strip() == b"application/json" and charset in (b"", b"utf-8", b"utf8")


def _run(live: Loaded, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        outputs = live.predictor.run(feeds)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise ModelError(f"{live.usecase} version {live.version} failed: {error}") from error
    if not np.isfinite(outputs).all():
        raise ModelError(f"{live.usecase} version {live.version} answered NaN or infinity")
    return outputs


def _context(
    served: Served, live: Loaded, head: Head, started: int, began: float, error: ModelError | None = None
) -> PredictionContext:
    return PredictionContext(
        environment=served.settings.environment,
        usecase=served.name,
        version=live.version,
        bundle_sha256=live.digest,
        role=ROLE,
        answered=error is None,
        trace_id=head.trace_id,
        request_id=head.request_id,
        timestamp=now_iso(),
        duration_ns=time.perf_counter_ns() - started,
        model_ms=(time.perf_counter() - began) * 1000,
        outcome="success" if error is None else "failure",
        error_type=None if error is None else type(error).__name__,
    )


def _lines(
    served: Served,
    live: Loaded,
    context: PredictionContext,
    ids: Sequence[str],
    rows: Sequence[dict[str, Any]],
    keys: Sequence[str] | None,
    predictions: Sequence[Prediction] = (),
    warnings: Sequence[InputWarning] = (),
) -> list[bytes]:
    """One event for each row; a failed request's have no prediction."""
    schema, nothing = live.schema, Prediction()
    strange: dict[int, list[dict[str, str]]] = defaultdict(list)
    for warning in warnings:
        strange[warning.instance].append({"feature": warning.feature, "reason": warning.reason})
    lines = []
    for index, (identity, row) in enumerate(zip(ids, rows, strict=True)):
        key_of_row, split_bucket = row_identity(row, schema, served.secret)
        found = predictions[index] if predictions else nothing
        line = context.line(
            identity,
            _logged(served, live, row) if schema.images else row,
            row_key=key_of_row,
            split_bucket=split_bucket,
            key=keys[index] if keys else None,
            label=found.label,
            value=found.value,
            score=found.score,
            probabilities=found.probabilities,
            warnings=strange.get(index, ()),
        )
        lines.append(line)
    return lines


def _logged(served: Served, live: Loaded, row: dict[str, Any]) -> dict[str, Any]:
    """The row with each image as its four statistics and its digest; captured where the use case says so."""
    logged = dict(row)
    for feature in live.schema.images:
        pixels = row[feature.name]
        sha256 = pixels_sha256(pixels)
        logged[feature.name] = image_statistics(pixels) | {"sha256": sha256}
        if live.serving.get("capture"):
            served.capture.keep(sha256, pixels)
    return logged


def _count(
    served: Served,
    live: Loaded,
    context: PredictionContext,
    predictions: Sequence[Prediction],
    warnings: Sequence[InputWarning],
) -> None:
    metrics, name, version = served.metrics, served.name, live.version
    metrics.of(metrics.model_seconds, name, version, ROLE).observe(context.model_ms / 1000)
    for label, count in Counter(found.label or "" for found in predictions).items():
        metrics.of(metrics.predictions, name, version, ROLE, label).inc(count)
    for (feature, reason), count in Counter((w.feature, w.reason) for w in warnings).items():
        metrics.of(metrics.warnings, name, feature, reason).inc(count)
