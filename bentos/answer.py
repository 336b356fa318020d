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
from bentos.cache import Found, Remembered
from bentos.call import CANARY, Asked, Call
from bentos.errors import Late, ModelError
from bentos.models import Loaded
from slipway.errors import InputError
from slipway.instances import Request
from slipway.predictor import InputWarning, all_true, images_decoded
from slipway.schema import mask

TakeTurn = Callable[[], bool]
_encoder = msgspec.json.Encoder()


def answer(call: Call, take_turn: TakeTurn | None = None) -> bytes:
    """The answer to a valid request.

    `take_turn()` is asked last, before anything is written: where it says no, time is up, and another answers.

    Raises:
        InputError: the request cannot be answered.
        ModelError: the model failed, or was too late; the failure is in the log (a canary's is left to the champion).
        Unavailable: the log is required, and cannot be written.
    """
    asked = read(call)
    began = time.perf_counter_ns()
    try:
        found = outputs(call.live, asked.feeds)
    except ModelError as error:
        failed(call, asked, began, error)
        raise
    return tell(call, asked, found, began, take_turn)


def read(call: Call) -> Asked:
    """The rows: images decoded and private values masked, as the model was trained. Raises InputError."""
    live, settings = call.live, call.served.settings
    request = _parse(call)
    head_uuid = call.head.uuid.encode()
    ids = [b"%b-%d" % (head_uuid, index) for index in range(len(request.values))]
    encoder = live.predictor.encoder
    if request.texts is not None:
        asked = Asked(ids, encoder.encode_values(request.values), [], request.texts, request.keys)
    else:
        rows = request.instances
        if live.schema.images:
            rows = images_decoded(live.schema, rows, settings.max_pixels)
        if live.schema.masked:
            rows = [mask(row, live.schema, call.served.secret) for row in rows]
        asked = Asked(ids, encoder.encode(rows), rows, None, request.keys)
    if call.fallen is not None:
        record.fallen(call, asked)
    return asked


def outputs(live: Loaded, feeds: Mapping[str, np.ndarray]) -> Found:
    """The network's outputs, and which rows came from the cache; nothing of that where there is none.

    Raises ModelError.
    """
    if live.cache is None:
        return Found(_run(live, feeds), ())
    return live.cache.run(feeds, partial(_run, live))


def tell(call: Call, asked: Asked, found: Found, began: int, take_turn: TakeTurn | None = None) -> bytes:
    """The answer of these outputs, which are as old as now; see `answer`."""
    live, served = call.live, call.served
    about = record.context(call, began)
    predictions = live.predictor.decode(found.outputs)
    warnings = live.predictor.encoder.warnings(asked.feeds)
    answers = _encoder.encode_lines(predictions).split(b"\n")[:-1]
    lines = record.lines(call, about, asked, answers, warnings, found.hits)
    content = _content(call, asked, answers, warnings)
    if take_turn is not None and not take_turn():
        error = Late(live)
        failed(call, asked, began, error)
        raise error
    served.log(served.predictions, lines, required=about.answered and live.serving.get("log") == "required")
    record.count(call, about, predictions, warnings)
    return Remembered.of(content, found.hits) if found.hits else content


def failed(call: Call, asked: Asked, began: int, error: ModelError) -> None:
    """Leave it in the log; a canary's failure is left to the champion, which answers in its place."""
    if call.role != CANARY:
        record.failed(call, asked, began, error)


def _parse(call: Call) -> Request:
    live, settings, body = call.live, call.served.settings, call.body
    most = min(settings.max_instances, live.serving.get("max_instances", settings.max_instances))
    kind = call.head.content_type
    if kind == b"application/json" or not kind or _is_json(kind):
        return live.reader.request(body, most)
    if kind.startswith(multipart.CONTENT_TYPE):
        rows = multipart.instances(live.schema, kind, body, most)
        names = live.schema.names
        return Request(names, [tuple(map(row.get, names)) for row in rows], None, None)
    raise InputError(
        f"Content-Type {kind.decode('latin-1')!r} came; send application/json, or images as multipart/form-data.",
        status=415,
    )


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.partition(b"charset=")[2].strip(b' "')
    return kind.strip() == b"application/json" and charset in (b"", b"utf-8", b"utf8")


def _run(live: Loaded, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        found = live.predictor.run(feeds)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise ModelError(f"{live.usecase} version {live.version} failed: {error}") from error
    if not all_true(np.isfinite(found)):
        raise ModelError(f"{live.usecase} version {live.version} answered NaN or infinity")
    return found


def _content(call: Call, asked: Asked, answers: Sequence[bytes], warnings: Sequence[InputWarning]) -> bytes:
    """The body, from the answers that the log has, too: nothing is serialized twice."""
    rows = b",".join([b'{"id":"%b",%b' % pair for pair in zip(asked.ids, [a[1:] for a in answers], strict=True)])
    return b'{"model":%b,"request_id":"%b","predictions":[%b],"warnings":%b}' % (
        call.live.model,
        call.head.request_id.encode(),
        rows,
        _encoder.encode(warnings) if warnings else b"[]",
    )
