"""Prediction pipeline: from the bodies of requests to the bodies of responses, with their events in the log in between.

parse → run_batch (encode, run, decode) → build responses → commit. Every role takes it: the champion, a canary in its
place, a shadow whose response nobody gets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from bentos.errors import Abandoned, Late, LogUnavailable, ModelError
from bentos.models import LoadedModel
from bentos.models.output_cache import CachedResponse, CacheLookup
from bentos.prediction import multipart, recorder
from bentos.prediction.types import CANARY, Outcome, ParsedRows, PredictionCall
from bentos.request import is_json, wrong_content_type
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.schema import mask
from slipway.errors import InputError
from slipway.ids import row_id
from slipway.inference import InputWarning, PixelLimits, Prediction, all_true, images_decoded
from slipway.inference.instance_parser import Request

MAX_WARNINGS = 250_000  # of a request: each takes about 400 bytes
_encoder = msgspec.json.Encoder()


class PreparedResponse(msgspec.Struct, frozen=True):
    """A response that is not sent yet: its body, and what is logged and counted of it."""

    call: PredictionCall
    events: EventEncoder
    content: bytes
    lines: list[bytes]
    predictions: Sequence[Prediction]
    warnings: Sequence[InputWarning]


def run_one(call: PredictionCall) -> bytes:
    """Return the response to one request.

    Raises:
        InputError: the request is invalid.
        ModelError: the model failed, or was too late; the failure is in the log (a canary's is left to the champion).
        Unavailable: the log is required, and cannot be written.
    """
    (outcome,) = run([call])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run(calls: Sequence[PredictionCall]) -> list[Outcome]:
    """Return for each call what `run_one` returns or raises, with one run of the network and one write to the log.

    All calls are to one model, and so in one role: each role loads its own. An invalid request affects no other; where
    the network fails for all together, it runs for each alone.
    """
    outcomes: list[Outcome] = []
    valid, parsed = [], []
    for call in calls:
        try:
            parsed.append(parse(call))
            valid.append(call)
            outcomes.append(b"")
        except Exception as error:
            outcomes.append(error)
    if not parsed:
        return outcomes
    responses = iter(run_batch(valid, parsed))
    return [outcome if isinstance(outcome, Exception) else next(responses) for outcome in outcomes]


def parse(call: PredictionCall) -> ParsedRows:
    """Parse the body: images are decoded and private values masked, as the model was trained.

    Raises:
        InputError: the request is invalid.
        Abandoned: nobody waits for the response any more; looked at between images, and between rows that are masked.
    """
    live = call.live
    request = _parse_body(call)
    is_test = call.request.is_test and (call.champion or live).published_rows.include(request)
    ids = [row_id(call.request.uuid, index).encode() for index in range(len(request.values))]
    if request.texts is not None:
        parsed = ParsedRows(ids, request.values, [], request.texts, request.keys, request.in_range, is_test)
    else:
        rows = request.instances
        if live.schema.images:
            settings = call.context.settings
            limits = PixelLimits(settings.max_pixels, settings.max_request_pixels)
            rows = images_decoded(live.schema, rows, limits, partial(_require_awaited, call))
        if live.schema.masked:
            rows = [mask(row, live.schema, call.context.secret) for row in _while_awaited(call, rows)]
        parsed = ParsedRows(
            ids,
            [tuple(map(row.get, request.names)) for row in rows],
            rows,
            None,
            request.keys,
            request.in_range,
            is_test,
        )
    _require_few_warnings(live, parsed)
    if call.canary_failure is not None:
        recorder.record_canary_failure(call, parsed)
    return parsed


def count_rows(call: PredictionCall) -> int:
    """Return how many rows the body holds, before any of them is decoded, masked or predicted.

    Raises:
        InputError: the request is invalid.
    """
    return len(_parse_body(call).values)


def _require_few_warnings(live: LoadedModel, parsed: ParsedRows) -> None:
    """Raise InputError (413) for more warnings than fit into a response: an empty row gives one for each feature."""
    if parsed.in_range or len(parsed.values) * len(live.schema.names) <= MAX_WARNINGS:
        return
    encoder = live.predictor.encoder
    found = encoder.count_warnings(encoder.encode_values(parsed.values))
    if found > MAX_WARNINGS:
        raise InputError(
            f"{found:,} values are missing, unknown or out of range, at most {MAX_WARNINGS:,} are answered: send"
            " several requests.",
            "instances",
            413,
        )


def _require_awaited(call: PredictionCall) -> None:
    if call.awaited is not None and not call.awaited():
        raise Abandoned(call.live)


def _while_awaited(call: PredictionCall, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        _require_awaited(call)
        yield row


def run_batch(calls: Sequence[PredictionCall], parsed: Sequence[ParsedRows]) -> list[Outcome]:
    """Return what `run` returns, for calls that are parsed."""
    live = calls[0].live
    feeds = live.predictor.encoder.encode_values([values for one in parsed for values in one.values])
    began = time.perf_counter_ns()
    try:
        found = _run_model(live, feeds)
    except ModelError as error:
        if len(calls) > 1:
            return [outcome for pair in zip(calls, parsed, strict=True) for outcome in run_batch(*([x] for x in pair))]
        _record_failure(calls[0], parsed[0], began, error)
        return [error]
    return commit(build_responses(calls, parsed, feeds, found, began))


def _run_model(live: LoadedModel, feeds: Mapping[str, np.ndarray]) -> CacheLookup:
    """Return the outputs of the network, and which rows received from the cache (empty where there is none)."""
    if live.cache is None:
        return CacheLookup(_run_network(live, feeds), ())
    return live.cache.run(feeds, partial(_run_network, live))


def _run_network(live: LoadedModel, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        outputs = live.predictor.run(feeds)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise ModelError(f"{live.usecase} version {live.version} failed: {error}") from error
    if not all_true(np.isfinite(outputs)):
        raise ModelError(f"{live.usecase} version {live.version} answered NaN or infinity")
    return outputs


def build_responses(
    calls: Sequence[PredictionCall],
    parsed: Sequence[ParsedRows],
    feeds: Mapping[str, np.ndarray],
    found: CacheLookup,
    began: int,
) -> list[PreparedResponse | Late]:
    """Build the response of each call, or Late where its deadline has passed.

    Predictions are serialized once: response and log have the same bytes.
    """
    predictor = calls[0].live.predictor
    predictions = predictor.decode(found.outputs)
    warnings = [] if all(one.in_range for one in parsed) else predictor.encoder.warnings(feeds)
    encoded = _encoder.encode_lines(predictions).split(b"\n")
    ran = recorder.ModelRun.since(began)
    events = recorder.event_encoder(calls[0], ran)
    lines = recorder.event_lines(calls, events, ran, parsed, encoded, warnings, found.hits)
    responses: list[PreparedResponse | Late] = []
    start = 0
    for call, one in zip(calls, parsed, strict=True):
        part = slice(start, start + len(one.ids))
        start = part.stop
        own, hits = _select_warnings(warnings, part), found.hits[part]
        content = _encode_response(call, one, encoded[part], own)
        if call.claim is not None and not call.claim():
            error = Late(call.live)
            _record_failure(call, one, began, error)
            responses.append(error)
        else:
            content = CachedResponse.of(content, hits) if hits else content
            responses.append(PreparedResponse(call, events, content, lines[part], predictions[part], own))
    return responses


def commit(responses: Sequence[PreparedResponse | Late]) -> list[Outcome]:
    """Log and count the responses. Where the log is required and cannot be written, there is no response."""
    prepared = [one for one in responses if isinstance(one, PreparedResponse)]
    logged = not prepared or prepared[0].call.context.log([line for one in prepared for line in one.lines])
    outcomes: list[Outcome] = []
    counted: list[PreparedResponse] = []
    for one in responses:
        if isinstance(one, Exception):
            outcomes.append(one)
        elif not logged and one.events.answered and one.call.live.serving.get("log") == "required":
            outcomes.append(LogUnavailable())
        else:
            counted.append(one)
            outcomes.append(one.content)
    if counted:
        predictions = [prediction for one in counted for prediction in one.predictions]
        warnings = [warning for one in counted for warning in one.warnings]
        recorder.count(counted[0].call, counted[0].events, len(counted), predictions, warnings)
    return outcomes


def _select_warnings(warnings: Sequence[InputWarning], part: slice) -> Sequence[InputWarning]:
    """Return the warnings of one request, its instances counted from 0."""
    if part.start == 0 and (not warnings or warnings[-1].instance < part.stop):
        return warnings
    return [
        msgspec.structs.replace(warning, instance=warning.instance - part.start)
        for warning in warnings
        if part.start <= warning.instance < part.stop
    ]


def _record_failure(call: PredictionCall, parsed: ParsedRows, began: int, error: ModelError) -> None:
    """Log the failure. A canary's is left to the champion, which answers in its place."""
    if call.role != CANARY:
        recorder.record_failure(call, parsed, began, error)


def _parse_body(call: PredictionCall) -> Request:
    live, settings, body = call.live, call.context.settings, call.body
    max_rows = min(settings.max_instances, live.serving.get("max_instances", settings.max_instances))
    content_type = call.request.content_type
    if is_json(content_type):
        return live.reader.request(body, max_rows)
    if content_type.startswith(multipart.CONTENT_TYPE):
        rows = multipart.instances(live.schema, content_type, body, max_rows)
        names = live.schema.names
        return Request(names, [tuple(map(row.get, names)) for row in rows], None, None)
    raise wrong_content_type(content_type, "application/json, or images as multipart/form-data")


def _encode_response(
    call: PredictionCall, parsed: ParsedRows, predictions: Sequence[bytes], warnings: Sequence[InputWarning]
) -> bytes:
    """Join the serialized predictions to the body; each begins with `{`, which the id takes the place of."""
    rows = b",".join([b'{"id":"%b",%b' % pair for pair in zip(parsed.ids, [p[1:] for p in predictions], strict=True)])
    return b'{"model":%b,"request_id":"%b","predictions":[%b],"warnings":%b}' % (
        call.live.model,
        call.request.request_id.encode(),
        rows,
        _encoder.encode(warnings) if warnings else b"[]",
    )
