"""Answer: from the body of a prediction request to the body of its answer, with its events in the log in between.

Every role goes through `answer`: the champion, a canary in its place, a shadow whose answer nobody gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from bentos import multipart, record
from bentos.cache import Remembered
from bentos.errors import Late, ModelError
from bentos.models import Loaded
from bentos.record import CANARY, CHAMPION, Asked, Fallen
from bentos.request import Head
from bentos.worker import Served
from slipway.errors import InputError
from slipway.events import row_id
from slipway.instances import Request
from slipway.predictor import InputWarning, Prediction, images_decoded
from slipway.schema import mask

_encode = msgspec.json.Encoder().encode


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


def answer(
    served: Served,
    live: Loaded,
    head: Head,
    body: bytes,
    started: int,
    role: str = CHAMPION,
    take_turn: Callable[[], bool] | None = None,
    fallen: Fallen | None = None,
) -> bytes:
    """The answer to a valid request; `started` is `perf_counter_ns()` at its first byte.

    `take_turn()` is asked last, before anything is written: where it says no, time is up, and another answers.

    Raises:
        InputError: the request cannot be answered.
        ModelError: the model failed, or was too late; the failure is in the log (a canary's is left to the champion).
        Unavailable: the log is required, and cannot be written.
    """
    asked, feeds = _read(served, live, head, body)
    if fallen is not None:
        record.fallen(served, live, fallen, head, started, asked)
    began = time.perf_counter()
    try:
        outputs, hits = _outputs(live, feeds)
        about = record.context(served, live, head, role, started, began)
        predictions = live.predictor.decode(outputs)
        warnings = live.predictor.encoder.warnings(feeds)
        lines = record.lines(served, live, about, asked, predictions, warnings, hits)
        content = _content(live, head, asked, predictions, warnings)
        if take_turn is not None and not take_turn():
            raise Late(live)
    except ModelError as error:
        if role != CANARY:
            record.failed(served, live, head, role, started, began, error, asked)
        raise
    served.log(served.predictions, lines, required=about.answered and live.serving.get("log") == "required")
    record.count(served, about, predictions, warnings)
    return Remembered.of(content, hits) if hits else content


def _read(served: Served, live: Loaded, head: Head, body: bytes) -> tuple[Asked, dict[str, np.ndarray]]:
    rows, keys = _parse(served, live, head, body)
    feeds = live.predictor.encode(rows)
    return Asked([row_id(head.uuid, index) for index in range(len(rows))], rows, keys), feeds


def _parse(served: Served, live: Loaded, head: Head, body: bytes) -> Request:
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


def _outputs(live: Loaded, feeds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Sequence[bool]]:
    """The network's outputs, and which rows came from the cache; nothing of that where there is none."""
    if live.cache is None:
        return _run(live, feeds), ()
    return live.cache.run(feeds, partial(_run, live))


def _run(live: Loaded, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        outputs = live.predictor.run(feeds)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise ModelError(f"{live.usecase} version {live.version} failed: {error}") from error
    if not np.isfinite(outputs).all():
        raise ModelError(f"{live.usecase} version {live.version} answered NaN or infinity")
    return outputs


def _content(
    live: Loaded, head: Head, asked: Asked, predictions: list[Prediction], warnings: list[InputWarning]
) -> bytes:
    rows = [
        _Row(identity, found.label, found.value, found.score, found.probabilities)
        for identity, found in zip(asked.ids, predictions, strict=True)
    ]
    return _encode(_Answer(live.model, head.request_id, rows, warnings))
