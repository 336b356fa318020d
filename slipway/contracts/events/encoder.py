"""Encodes prediction events, for speed by templates: what all rows of a run share is serialized once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec

from slipway.contracts.events.prediction_event import EventRequest
from slipway.contracts.schema import CONTRACT

_encode = msgspec.json.Encoder().encode
_BOOLEAN = {True: b"true", False: b"false"}


class EventEncoder(msgspec.Struct, frozen=True):
    """The common part of the events of all rows that a model in a role answered, or failed on, in one run.

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

    def encode_row(
        self,
        request: EventRequest,
        row: str,
        features: Mapping[str, Any],
        *,
        row_key: str | None = None,
        split_bucket: int | None = None,
        key: str | None = None,
        answer: Mapping[str, Any] | None = None,
        warnings: Sequence[Mapping[str, str]] = (),
    ) -> bytes:
        """Encode the event of one row, with the newline that ends it; empty parts are left out.

        `features` are masked; an image is its four statistics and `sha256`. `answer` is `{label | value, score,
        probabilities}`; `warnings` are `{feature, reason}`.
        """
        (line,) = self.encode_rows(
            [(request, 1)],
            [row.encode()],
            [_encode(features)],
            [(row_key.encode() if row_key else None, split_bucket)],
            [_encode(answer or {})],
            keys=[key],
            warnings=[_encode(warnings)],
        )
        return line

    def encode_rows(
        self,
        requests: Iterable[tuple[EventRequest, int]],
        rows: Iterable[bytes],
        features: Iterable[bytes],
        identities: Iterable[tuple[bytes | None, int | None]],
        answers: Iterable[bytes],
        *,
        keys: Iterable[str | None] = repeat(None),
        warnings: Iterable[bytes] = repeat(b"[]"),
        cached: Iterable[bool] = repeat(False),
    ) -> list[bytes]:
        """Encode the event of each row from parts that are JSON already, so that nothing is serialized twice.

        `requests` come with the number of their rows; `identities` are each row's key and bucket.
        """
        line, request_part = self._places()
        parts = _request_parts(request_part, requests)
        return [
            line
            % (
                row,
                values,
                row_warnings,
                b',"row_key":"%b","split_bucket":%d' % identity  # type: ignore[str-format]
                if None not in identity
                else _identity(*identity),
                b"" if key is None else b',"key":' + _encode(key),
                b"," + answer[1:-1] if len(answer) > 2 else b"",
                _BOOLEAN[from_cache],
                part,
                row,
            )
            for (part, row, values, identity), answer, key, row_warnings, from_cache in zip(
                zip(parts, rows, features, identities, strict=True), answers, keys, warnings, cached, strict=False
            )
        ]

    def _places(self) -> tuple[bytes, bytes]:
        """Make the templates for `%`: of a line, with a place for each part that is not common to all rows; and of a
        request, with places for what is its own."""
        begin, end = _constant(self.environment, self.usecase, self.version, self.bundle_sha256, self.role)
        ran = f'"answered":{_BOOLEAN[self.answered].decode()},"model_ms":{self.model_ms},"row_id":"'
        error = f'"error":{{"type":"{self.error_type}"}},' if self.error_type is not None else ""
        when = f'{error}"@timestamp":"{self.timestamp}","trace":{{"id":"'
        what = f'"event":{{"outcome":"{self.outcome}","duration":'
        outcome, moment, event = (part.replace("%", "%%").encode() for part in (ran, when, what))
        line = b'%b%b%%b","features":%%b,"warnings":%%b%%b%%b%%b,"cached":%%b%%b%%b%b' % (begin, outcome, end)
        return line, b'%%b},%b%%b"},"http":{"request":{"id":"%%b"}},%b%%d,"id":"' % (moment, event)


def _request_parts(template: bytes, requests: Iterable[tuple[EventRequest, int]]) -> list[bytes]:
    """Encode each request once, and repeat it for each of its rows."""
    parts: list[bytes] = []
    for request, number in requests:
        caller = b"" if request.caller is None else b',"caller":"%b"' % request.caller.encode()
        if request.is_test:
            caller += b',"test":true'
        ids = request.trace_id.encode(), request.request_id.encode()
        parts += [template % (caller, *ids, request.duration_ns)] * number
    return parts


def _identity(row_key: bytes | None, split_bucket: int | None) -> bytes:
    key = b',"row_key":"%b"' % row_key if row_key is not None else b""
    return key + (b',"split_bucket":%d' % split_bucket if split_bucket is not None else b"")


@lru_cache(maxsize=64)
def _constant(environment: str, usecase: str, version: str, bundle_sha256: str, role: str) -> tuple[bytes, bytes]:
    """Encode begin and end of all lines of a model in one role: up to what differs, and from the row's id on.

    The event's id is `row:role:version`: sent twice, it still counts once.
    """
    service = _encode({"name": "slipway", "version": version, "environment": environment})
    model = {"usecase": usecase, "model_version": version, "bundle_sha256": bundle_sha256, "role": role}
    ours = _encode({"contract": CONTRACT, **model})
    begin = b'{"service":%b,"slipway":%b,' % (service, ours[:-1])
    end = _encode(f":{role}:{version}")[1:] + b"}}\n"
    return begin.replace(b"%", b"%%"), end.replace(b"%", b"%%")
