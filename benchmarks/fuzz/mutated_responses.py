"""Mutated responses: servers answer each client of the project with what no server sends.

Each case is derived from the seed and its number alone: `case(seed, number)`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from benchmarks.fuzz import bodies
from benchmarks.fuzz.campaign import MOST_FAILURES, Found
from benchmarks.fuzz.clients import READS, is_read
from benchmarks.fuzz.responder import responding, response

LONGEST = 10.0  # seconds that a client may take; all that it waits for is there
STATUSES = [b"100 Continue", b"204 No Content", b"206 Partial", b"302 Found", b"400 Bad", b"404 Not Found", b"500 Oh"]
STATUSES += [b"503 Busy", b"999 \x1b[31m", b"99 x", b"-1 x", b"200", b"200 " + b"x" * 70_000, b"\xff\xfe OK"]
HEADERS = [b"Content-Length: 7", b"Content-Length: -1", b"Content-Length: 9" + b"9" * 30, b"Transfer-Encoding: chunked"]
HEADERS += [b"Content-Encoding: gzip", b"Content-Encoding: br, deflate", b"Content-Type: text/html; charset=utf-16"]
HEADERS += [b"Location: http://127.0.0.1:1/", b"Location: \xff", b"Connection: upgrade", b"no colon", b" folded: x"]
HEADERS += [b"Set-Cookie: a=b", b"X: " + b"x" * 100_000, b"\0: \0", b"Retry-After: 1e9", b"Trailer: x"]


def case(seed: int, number: int) -> tuple[str, bytes]:
    """Make the case with that number: the name of a client's call, and the response to its requests."""
    rng = Random(f"{seed}:{number}")
    name = rng.choice(list(READS))
    return name, changed(rng, READS[name].document)


def changed(rng: Random, document: Any) -> bytes:
    """Mutate a response: mostly its document, else its status, its headers, or all of its bytes."""
    content = json.dumps(document).encode() if rng.random() < 0.1 else bodies.changed(rng, document)
    whole = response(content, rng.choice(STATUSES) if rng.random() < 0.1 else b"200 OK")
    if rng.random() < 0.1:
        status, _, rest = whole.partition(b"\r\n")
        whole = status + b"\r\n" + rng.choice(HEADERS) + b"\r\n" + rest
    return bodies.bytes_changed(rng, whole) if rng.random() < 0.1 else whole


def run(seed: int, count: int) -> Found:
    """Have clients read the responses of the cases `0 … count - 1` of the seed."""
    found, held = Found(seed), [b""]
    with responding(lambda _: held[0]) as url, _impatient():
        for number in range(count):
            if len(found.failures) < MOST_FAILURES:
                name, held[0] = case(seed, number)
                _read(found, number, name, held[0], url)
    return found


@contextmanager
def _impatient() -> Iterator[None]:
    """Neither wait for a busy server nor read a list of many pages: both only take time here."""
    with patch("slipway.clients.prefect.BUSY_SECONDS", 0.0), patch("slipway.clients.mlflow.rest._MAX_PAGES", 3):
        yield


def _read(found: Found, number: int, name: str, content: bytes, url: str) -> None:
    began = time.monotonic()
    try:
        found.note(name, "read" if is_read(READS[name], url) else "refused")
    except Exception as error:
        found.fail(f"case {number} ({name}): {type(error).__name__} {error}; received {content[:500]!r}")
    if (seconds := time.monotonic() - began) > LONGEST:
        found.fail(f"case {number} ({name}): it took {seconds:.0f} s; received {content[:500]!r}")
