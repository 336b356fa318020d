"""Answer: from the bodies of prediction requests to the bodies of their answers, their events in the log in between.

Every role goes through `answer`: the champion, a canary in its place, a shadow whose answer nobody gets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from bentos.errors import Late, ModelError, Unavailable
from bentos.models import LoadedModel
from bentos.models.output_cache import CachedResponse, CacheLookup
from bentos.prediction import multipart, recorder
from bentos.prediction.types import CANARY, ParsedRows, PredictionCall
from bentos.worker import NOT_KEPT
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.schema import mask
from slipway.errors import InputError
from slipway.ids import row_id
from slipway.inference import InputWarning, Prediction, all_true, images_decoded
from slipway.inference.instance_parser import Request

_encoder = msgspec.json.Encoder()


class PreparedResponse(msgspec.Struct, frozen=True):
    """An answer that nobody has yet: the body, and what it leaves behind."""

    call: PredictionCall
    about: EventEncoder
    content: bytes
    lines: list[bytes]
    predictions: Sequence[Prediction]
    warnings: Sequence[InputWarning]


def answer_one(call: PredictionCall) -> bytes:
    """The answer to a valid request.

    Raises:
        InputError: the request cannot be answered.
        ModelError: the model failed, or was too late; the failure is in the log (a canary's is left to the champion).
        Unavailable: the log is required, and cannot be written.
    """
    (outcome,) = answer([call])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def answer(calls: Sequence[PredictionCall]) -> list[bytes | Exception]:
    """For each call what `answer_one` answers or raises: by one run of the network, and one write to the log.

    They are calls to one model, and so in one role: each role loads its own. What is wrong with one is no other's
    concern: where the network fails for all together, each is asked alone.
    """
    outcomes: list[bytes | Exception] = []
    read_calls, asked = [], []
    for call in calls:
        try:
            asked.append(read(call))
            read_calls.append(call)
            outcomes.append(b"")
        except Exception as error:
            outcomes.append(error)
    if not asked:
        return outcomes
    answers = iter(answered(read_calls, asked))
    return [outcome if isinstance(outcome, Exception) else next(answers) for outcome in outcomes]


def read(call: PredictionCall) -> ParsedRows:
    """The rows: images decoded and private values masked, as the model was trained. Raises InputError."""
    live = call.live
    request = _parse(call)
    ids = [row_id(call.head.uuid, index).encode() for index in range(len(request.values))]
    if request.texts is not None:
        asked = ParsedRows(ids, request.values, [], request.texts, request.keys, request.usual)
    else:
        rows = request.instances
        if live.schema.images:
            rows = images_decoded(live.schema, rows, call.served.settings.max_pixels)
        if live.schema.masked:
            rows = [mask(row, live.schema, call.served.secret) for row in rows]
        asked = ParsedRows(
            ids, [tuple(map(row.get, request.names)) for row in rows], rows, None, request.keys, request.usual
        )
    if call.fallen is not None:
        recorder.fallen(call, asked)
    return asked


def answered(calls: Sequence[PredictionCall], asked: Sequence[ParsedRows]) -> list[bytes | Exception]:
    """What `answer` makes of calls that were read."""
    live = calls[0].live
    feeds = live.predictor.encoder.encode_values([values for one in asked for values in one.values])
    began = time.perf_counter_ns()
    try:
        found = _outputs(live, feeds)
    except ModelError as error:
        if len(calls) > 1:
            return [outcome for pair in zip(calls, asked, strict=True) for outcome in answered(*([x] for x in pair))]
        _failed(calls[0], asked[0], began, error)
        return [error]
    return _kept(_made(calls, asked, feeds, found, began))


def _outputs(live: LoadedModel, feeds: Mapping[str, np.ndarray]) -> CacheLookup:
    """The network's outputs, and which rows came from the cache; nothing of that where there is none."""
    if live.cache is None:
        return CacheLookup(_run(live, feeds), ())
    return live.cache.run(feeds, partial(_run, live))


def _run(live: LoadedModel, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        found = live.predictor.run(feeds)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise ModelError(f"{live.usecase} version {live.version} failed: {error}") from error
    if not all_true(np.isfinite(found)):
        raise ModelError(f"{live.usecase} version {live.version} answered NaN or infinity")
    return found


def _made(
    calls: Sequence[PredictionCall],
    asked: Sequence[ParsedRows],
    feeds: Mapping[str, np.ndarray],
    found: CacheLookup,
    began: int,
) -> list[PreparedResponse | Exception]:
    """Each call's answer, or that it came too late. Nothing is serialized twice: the log has the same bytes."""
    predictor = calls[0].live.predictor
    predictions = predictor.decode(found.outputs)
    warnings = [] if all(one.usual for one in asked) else predictor.encoder.warnings(feeds)
    answers = _encoder.encode_lines(predictions).split(b"\n")
    made: list[PreparedResponse | Exception] = []
    start, ran = 0, recorder.ModelRun.since(began)
    about = recorder.context(calls[0], ran)
    lines = recorder.lines(calls, about, ran, asked, answers, warnings, found.hits)
    for call, one in zip(calls, asked, strict=True):
        part = slice(start, start + len(one.ids))
        own, hits = _own(warnings, part), found.hits[part]
        start = part.stop
        content = _content(call, one, answers[part], own)
        if call.take_turn is not None and not call.take_turn():
            error = Late(call.live)
            _failed(call, one, began, error)
            made.append(error)
        else:
            content = CachedResponse.of(content, hits) if hits else content
            made.append(PreparedResponse(call, about, content, lines[part], predictions[part], own))
    return made


def _own(warnings: Sequence[InputWarning], part: slice) -> Sequence[InputWarning]:
    """A request's warnings, its instances counted from 0."""
    return [
        msgspec.structs.replace(warning, instance=warning.instance - part.start)
        for warning in warnings
        if part.start <= warning.instance < part.stop
    ]


def _kept(made: Sequence[PreparedResponse | Exception]) -> list[bytes | Exception]:
    """Written to the log and counted: answers from here on. Where the log is required, what it lacks is none."""
    lines = [line for one in made if isinstance(one, PreparedResponse) for line in one.lines]
    served = next((one.call.served for one in made if isinstance(one, PreparedResponse)), None)
    kept = served is None or served.log(served.predictions, lines)
    outcomes: list[bytes | Exception] = []
    counted: list[PreparedResponse] = []
    for one in made:
        if isinstance(one, Exception):
            outcomes.append(one)
        elif not kept and one.about.answered and one.call.live.serving.get("log") == "required":
            outcomes.append(Unavailable(NOT_KEPT, 5))
        else:
            counted.append(one)
            outcomes.append(one.content)
    if counted:
        predictions = [found for one in counted for found in one.predictions]
        warnings = [warning for one in counted for warning in one.warnings]
        recorder.count(counted[0].call, counted[0].about, len(counted), predictions, warnings)
    return outcomes


def _failed(call: PredictionCall, asked: ParsedRows, began: int, error: ModelError) -> None:
    """Leave it in the log; a canary's failure is left to the champion, which answers in its place."""
    if call.role != CANARY:
        recorder.failed(call, asked, began, error)


def _parse(call: PredictionCall) -> Request:
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


def _content(
    call: PredictionCall, asked: ParsedRows, answers: Sequence[bytes], warnings: Sequence[InputWarning]
) -> bytes:
    rows = b",".join([b'{"id":"%b",%b' % pair for pair in zip(asked.ids, [a[1:] for a in answers], strict=True)])
    return b'{"model":%b,"request_id":"%b","predictions":[%b],"warnings":%b}' % (
        call.live.model,
        call.head.request_id.encode(),
        rows,
        _encoder.encode(warnings) if warnings else b"[]",
    )
