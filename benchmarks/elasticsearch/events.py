"""Prediction events of 20 features, as a server logs them: for a spool, and in bodies of bulk requests."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.monitoring.generated_log import NAME
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.prediction_event import EventRequest
from slipway.ids import row_id, uuid7
from slipway.prediction_log import Writer
from slipway.timestamps import iso

REQUEST_ROWS = 100
SEGMENT_SECONDS = 3.0  # of those that arrive; a server's default is 15
_FEATURES, _DRAWN = 20, 1_000
_encode = msgspec.json.Encoder().encode


class _Event(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    event: _Event


_decode = msgspec.json.Decoder(_Line).decode


def request(environment: str, rows: int, features: Iterable[Mapping[str, Any]] = ()) -> list[bytes]:
    """Make the lines of a request's rows, answered now, with these features or so many drawn ones."""
    given = [_encode(row) for row in features] or random.choices(_drawn(), k=rows)
    encoder = EventEncoder(
        environment=environment,
        usecase=NAME,
        version="1",
        bundle_sha256="0" * 64,
        role="champion",
        answered=True,
        timestamp=iso(datetime.now(UTC), "microseconds"),
        model_ms=1.0,
    )
    one = EventRequest(uuid.uuid4().hex, uuid7(), 1_000_000, "0" * 32)
    ids = [row_id(one.request_id, number).encode() for number in range(len(given))]
    identities = [(uuid.uuid4().hex.encode(), number) for number in range(len(given))]
    answers = [b'{"label":"good","score":%.4f}' % random.random() for _ in given]
    return encoder.encode_rows([(one, len(given))], ids, given, identities, answers)


def requests(environment: str, events: int) -> Iterator[list[bytes]]:
    """Yield the lines of so many events, request by request."""
    for first in range(0, events, REQUEST_ROWS):
        yield request(environment, min(REQUEST_ROWS, events - first))


def spool(folder: Path, lines: Iterable[list[bytes]]) -> None:
    """Write the lines of requests into complete segments."""
    writer = Writer(folder, NAME, "prediction")
    for some in lines:
        _write(writer, some)
    writer.close()


def bodies(lines: Iterable[list[bytes]], most_bytes: int) -> Iterator[bytes]:
    """Yield the lines of requests in bodies of bulk requests, each filled up to so many bytes."""
    body = bytearray()
    for line in (one for some in lines for one in some):
        action = b'{"create":{"_id":"%b"}}\n' % _decode(line).event.id.encode()
        if body and len(body) + len(action) + len(line) > most_bytes:
            yield bytes(body)
            body.clear()
        body += action + line
    if body:
        yield bytes(body)


class Arrival:
    """Events that arrive; `written` is their number so far, `done` is set with the last one."""

    def __init__(self) -> None:
        self.written = 0
        self.done = threading.Event()


@contextmanager
def arriving(folder: Path, environment: str, rate: int, most: int) -> Iterator[Arrival]:
    """Write so many events a second into segments of a spool, at most `most`, for the length of the block."""
    arrival, writer = Arrival(), Writer(folder, NAME, "prediction", segment_seconds=SEGMENT_SECONDS)
    thread = threading.Thread(target=_arrive, args=(arrival, writer, environment, rate, most))
    thread.start()
    try:
        yield arrival
    finally:
        arrival.done.set()
        thread.join()


def _arrive(arrival: Arrival, writer: Writer, environment: str, rate: int, most: int) -> None:
    began = time.monotonic()
    try:
        while arrival.written < most and not arrival.done.wait(began + arrival.written / rate - time.monotonic()):
            rows = min(REQUEST_ROWS, most - arrival.written)
            _write(writer, request(environment, rows))
            arrival.written += rows
    finally:
        writer.close()
        arrival.done.set()


def _write(writer: Writer, lines: list[bytes]) -> None:
    if not writer.write(b"".join(lines)):
        raise OSError("the spool takes no more lines: is its disk full?")


@lru_cache(maxsize=1)
def _drawn() -> list[bytes]:
    rng = random.Random(4)
    rows = [{f"feature_{n}": round(rng.gauss(0, 1), 4) for n in range(_FEATURES)} for _ in range(_DRAWN)]
    return [_encode(row) for row in rows]
