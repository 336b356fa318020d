"""The prediction event and the feedback event: one JSON line each, in Elastic Common Schema (8.17).

Serving writes them, monitoring reads them, and neither knows more of the other than this module.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec

from slipway.contracts.schema import CONTRACT

PREDICTION_COLUMNS = {
    "@timestamp": "TIMESTAMPTZ",
    "event.id": "VARCHAR",
    "event.outcome": "VARCHAR",
    "event.duration": "BIGINT",
    "error.type": "VARCHAR",
    "trace.id": "VARCHAR",
    "http.request.id": "VARCHAR",
    "service.name": "VARCHAR",
    "service.version": "VARCHAR",
    "service.environment": "VARCHAR",
    "slipway.contract": "INTEGER",
    "slipway.usecase": "VARCHAR",
    "slipway.model_version": "VARCHAR",
    "slipway.bundle_sha256": "VARCHAR",
    "slipway.role": "VARCHAR",
    "slipway.answered": "BOOLEAN",
    "slipway.row_id": "VARCHAR",
    "slipway.row_key": "VARCHAR",
    "slipway.split_bucket": "INTEGER",
    "slipway.key": "VARCHAR",
    "slipway.caller": "VARCHAR",
    "slipway.features": "JSON",
    "slipway.label": "VARCHAR",
    "slipway.value": "DOUBLE",
    "slipway.score": "DOUBLE",
    "slipway.probabilities": "JSON",
    "slipway.warnings": "JSON",
    "slipway.cached": "BOOLEAN",
    "slipway.model_ms": "DOUBLE",
}
FEEDBACK_COLUMNS = {
    "@timestamp": "TIMESTAMPTZ",
    "event.id": "VARCHAR",
    "trace.id": "VARCHAR",
    "service.name": "VARCHAR",
    "service.environment": "VARCHAR",
    "slipway.contract": "INTEGER",
    "slipway.usecase": "VARCHAR",
    "slipway.row_id": "VARCHAR",
    "slipway.key": "VARCHAR",
    "slipway.label": "VARCHAR",
    "slipway.value": "DOUBLE",
    "slipway.known_at": "TIMESTAMPTZ",
    "slipway.caller": "VARCHAR",
}
_encode = msgspec.json.Encoder().encode
_BOOLEAN = {True: b"true", False: b"false"}


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10)
    text = chance.hex()
    return f"{moment[:8]}-{moment[8:]}-7{text[:3]}-{'89ab'[chance[9] & 3]}{text[3:6]}-{text[6:18]}"


def row_id(request: str, index: int) -> str:
    """The id of a row: the request's UUID and the row's place in it."""
    return f"{request}-{index}"


def now_iso() -> str:
    second, micro = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micro:06}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class RequestContext(msgspec.Struct, frozen=True):
    """What the events of one request's rows have in common: nothing that JSON would escape."""

    trace_id: str
    request_id: str
    duration_ns: int
    caller: str | None = None


class PredictionContext(msgspec.Struct, frozen=True):
    """What the events of all rows have in common that one model in one role answered, or failed, in one run.

    `timestamp` holds nothing that JSON would escape.
    """

    environment: str
    usecase: str
    version: str
    bundle_sha256: str
    role: str
    answered: bool
    timestamp: str
    model_ms: float
    outcome: str = "success"
    error_type: str | None = None

    def line(
        self,
        request: RequestContext,
        row: str,
        features: Mapping[str, Any],
        *,
        row_key: str | None = None,
        split_bucket: int | None = None,
        key: str | None = None,
        answer: Mapping[str, Any] | None = None,
        warnings: Sequence[Mapping[str, str]] = (),
    ) -> bytes:
        """The event of one row, with the newline that ends it; what there is nothing of is absent.

        `features` are masked; an image is its four statistics and `sha256`. `answer` is `{label | value, score,
        probabilities}`; `warnings` are `{feature, reason}`.
        """
        (line,) = self.lines(
            [(request, 1)],
            [row.encode()],
            [_encode(features)],
            [(row_key.encode() if row_key else None, split_bucket)],
            [_encode(answer or {})],
            keys=[key],
            warnings=[_encode(warnings)],
        )
        return line

    def lines(
        self,
        requests: Iterable[tuple[RequestContext, int]],
        rows: Iterable[bytes],
        features: Iterable[bytes],
        identities: Iterable[tuple[bytes | None, int | None]],
        answers: Iterable[bytes],
        *,
        keys: Iterable[str | None] = repeat(None),
        warnings: Iterable[bytes] = repeat(b"[]"),
        cached: Iterable[bool] = repeat(False),
    ) -> list[bytes]:
        """The `line` of each row, of parts that are JSON already, so that nothing is serialized twice.

        `requests` come with the number of their rows; `identities` are each row's key and bucket.
        """
        line, request_part = self._places()
        parts: list[bytes] = []
        for request, number in requests:
            caller = b"" if request.caller is None else b',"caller":"%b"' % request.caller.encode()
            ids = request.trace_id.encode(), request.request_id.encode()
            parts += [request_part % (caller, *ids, request.duration_ns)] * number
        return [
            line
            % (
                row,
                values,
                strange,
                b',"row_key":"%b","split_bucket":%d' % identity if None not in identity else _identity(*identity),
                b"" if key is None else b',"key":' + _encode(key),
                b"," + answer[1:-1] if len(answer) > 2 else b"",
                _BOOLEAN[remembered],
                part,
                row,
            )
            for (part, row, values, identity), answer, key, strange, remembered in zip(
                zip(parts, rows, features, identities, strict=True), answers, keys, warnings, cached, strict=False
            )
        ]

    def _places(self) -> tuple[bytes, bytes]:
        """The line with a place, as `%` knows them, for each part that is not common to all rows; and the part of a
        request, with places for what is its own."""
        begin, end = _constant(self.environment, self.usecase, self.version, self.bundle_sha256, self.role)
        ran = f'"answered":{_BOOLEAN[self.answered].decode()},"model_ms":{self.model_ms},"row_id":"'
        error = f'"error":{{"type":"{self.error_type}"}},' if self.error_type is not None else ""
        when = f'{error}"@timestamp":"{self.timestamp}","trace":{{"id":"'
        what = f'"event":{{"outcome":"{self.outcome}","duration":'
        ran, when, what = (part.replace("%", "%%").encode() for part in (ran, when, what))
        line = b'%b%b%%b","features":%%b,"warnings":%%b%%b%%b%%b,"cached":%%b%%b%%b%b' % (begin, ran, end)
        return line, b'%%b},%b%%b"},"http":{"request":{"id":"%%b"}},%b%%d,"id":"' % (when, what)


def _identity(row_key: bytes | None, split_bucket: int | None) -> bytes:
    key = b',"row_key":"%b"' % row_key if row_key is not None else b""
    return key + (b',"split_bucket":%d' % split_bucket if split_bucket is not None else b"")


@lru_cache(maxsize=64)
def _constant(environment: str, usecase: str, version: str, bundle_sha256: str, role: str) -> tuple[bytes, bytes]:
    """Begin and end of all lines of a model in one role: up to what differs, and from the row's id in the event's.

    The event's id is `row:role:version`: sent twice, it still counts once.
    """
    service = _encode({"name": "slipway", "version": version, "environment": environment})
    model = {"usecase": usecase, "model_version": version, "bundle_sha256": bundle_sha256, "role": role}
    ours = _encode({"contract": CONTRACT, **model})
    begin = b'{"service":%b,"slipway":%b,' % (service, ours[:-1])
    end = _encode(f":{role}:{version}")[1:] + b"}}\n"
    return begin.replace(b"%", b"%%"), end.replace(b"%", b"%%")


def feedback_line(
    *,
    environment: str,
    usecase: str,
    trace_id: str,
    timestamp: str,
    known_at: str,
    row: str | None = None,
    key: str | None = None,
    label: str | None = None,
    value: float | None = None,
    caller: str | None = None,
) -> tuple[str, bytes]:
    """The id and the line of a label that became known, for the prediction `row` or the caller's own `key`."""
    identity = uuid7()
    event = {
        "@timestamp": timestamp,
        "event": {"id": identity},
        "trace": {"id": trace_id},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {
            "contract": CONTRACT,
            "usecase": usecase,
            "row_id": row,
            "key": key,
            "label": label,
            "value": value,
            "known_at": known_at,
            "caller": caller,
        },
    }
    return identity, _encode(event) + b"\n"
