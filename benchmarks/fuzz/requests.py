"""Adversarial requests, each derived from the seed and its number, so that it can be repeated alone."""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from random import Random
from typing import NamedTuple

from benchmarks.fuzz import bodies, headers, images
from benchmarks.fuzz.target import Target, UseCase

ANSWERED, PERHAPS = "answered", "perhaps"  # whether there is an answer; nobody waits long for one that is uncertain
JSON = b"application/json"


class Request(NamedTuple):
    """Bytes of a request for a connection of its own; `answers` is how many responses it needs, if that is certain."""

    kind: str
    data: bytes
    expects: str = ANSWERED
    answers: int = 1
    head: bool = False


def request(target: Target, seed: int, number: int) -> Request:
    """Make the request with that number."""
    rng = Random(f"{seed}:{number}")
    make = rng.choices([make for make, _ in _MAKERS], [weight for _, weight in _MAKERS])[0]
    return make(rng, target)


def plain(method: bytes, path: bytes, body: bytes | None = None, kind: bytes = JSON, more: bytes = b"") -> bytes:
    """Make a request that is valid HTTP as far as the arguments are; `more` are header lines."""
    lines = b"%b %b HTTP/1.1\r\nhost: localhost\r\n" % (method, path) + (more + b"\r\n" if more else b"")
    if body is not None:
        lines += b"content-type: %b\r\ncontent-length: %d\r\n" % (kind, len(body))
    return lines + b"\r\n" + (body or b"")


def _posted(rng: Random, target: Target) -> tuple[UseCase, bytes, bytes]:
    """Choose a use case and a route for POST, with a valid body."""
    usecase = rng.choice(target.usecases)
    if rng.random() < 0.75:
        return usecase, _path(usecase, b"predict"), bodies.encoded(bodies.prediction(rng, usecase))
    return usecase, _path(usecase, b"feedback"), bodies.encoded(bodies.feedback(rng, usecase))


def _path(usecase: UseCase, end: bytes) -> bytes:
    return b"/v1/models/%b/%b" % (usecase.name.encode(), end)


def _json(rng: Random, target: Target) -> Request:
    usecase = rng.choice(target.usecases)
    make, end = (bodies.prediction, b"predict") if rng.random() < 0.75 else (bodies.feedback, b"feedback")
    return Request("JSON", plain(b"POST", _path(usecase, end), bodies.changed(rng, make(rng, usecase))))


def _bytes(rng: Random, target: Target) -> Request:
    _, path, body = _posted(rng, target)
    return Request("bytes", plain(b"POST", path, bodies.bytes_changed(rng, body)))


def _image(rng: Random, target: Target) -> Request:
    usecase = _with_image(rng, target)
    assert usecase.image
    rows = [images.as_json(images.image(rng), usecase.image) for _ in range(rng.choice((1, 1, 2)))]
    return Request("image", plain(b"POST", _path(usecase, b"predict"), bodies.encoded({"instances": rows})))


def _form(rng: Random, target: Target) -> Request:
    usecase = _with_image(rng, target) if rng.random() < 0.95 else rng.choice(target.usecases)
    kind, body = images.form(rng)
    return Request("form", plain(b"POST", _path(usecase, b"predict"), body, kind))


def _with_image(rng: Random, target: Target) -> UseCase:
    return rng.choice([usecase for usecase in target.usecases if usecase.image])


def _route(rng: Random, target: Target) -> Request:
    own = [
        _path(usecase, end) for usecase in target.usecases for end in (b"predict", b"feedback", b"schema", b"x", b"..")
    ]
    unknown = b"/" + b"".join(
        rng.choice((b"v1", b"%2f", b"..", b"/", b"models", b"%00", b"x", b"\xff")) for _ in range(6)
    )
    path, method = rng.choice((*headers.PATHS, *own, *own, unknown)), rng.choice(headers.METHODS)
    body = None if rng.random() < 0.7 else rng.choice((b"", b"{}", b"x" * 1000))
    return Request("route", plain(method, path, body), head=method == b"HEAD")


def _headers(rng: Random, target: Target) -> Request:
    _, path, body = _posted(rng, target)
    lines = b"\r\n".join(rng.sample(headers.HEADERS, rng.randint(1, 4)))
    kind = rng.choice((JSON, JSON, rng.choice(headers.CONTENT_TYPES)))
    if rng.random() < 0.3:
        return Request("headers", plain(b"GET", rng.choice((b"/livez", b"/v1/models", b"/x")), more=lines))
    return Request("headers", plain(b"POST", path, body, kind, lines))


def _broken_headers(rng: Random, target: Target) -> Request:
    _, path, body = _posted(rng, target)
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\n%b\r\n\r\n" % (
        path,
        JSON,
        rng.choice(headers.BROKEN_HEADERS),
    )
    return Request("broken headers", head + body, PERHAPS)


def _length(rng: Random, target: Target) -> Request:
    """Make a request with a wrong Content-Length."""
    _, path, body = _posted(rng, target)
    length = rng.choice((0, 1, len(body) - 1, len(body) + 1, len(body) + 1000, 2**31, 2**40, 2**63))
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return Request("length", head % (path, JSON, length) + body, PERHAPS)


def _chunked(rng: Random, target: Target) -> Request:
    _, path, body = _posted(rng, target)
    chunks, left = [], body
    while left:
        size = rng.randint(1, max(1, len(body) // 3))
        chunks.append(b"%x\r\n%b\r\n" % (len(left[:size]), left[:size]))
        left = left[size:]
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % (
        path,
        JSON,
    )
    if rng.random() < 0.4:
        return Request("chunked", head + b"".join(chunks) + b"0\r\n\r\n")
    broken = (
        b"x\r\n",
        b"-1\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"5\r\nab\r\n",
        b"0\r\nx: y",
        b"5;" + b"x" * 9000 + b"\r\n",
        b"",
    )
    chunks.insert(rng.randrange(len(chunks) + 1), rng.choice(broken))
    return Request("broken chunks", head + b"".join(chunks) + b"0\r\n\r\n", PERHAPS)


@cache
def _bombs() -> list[tuple[bytes, bytes]]:
    zeros = b"\0" * 10_000_000
    return [(b"gzip", gzip.compress(zeros, mtime=0)), (b"deflate", zlib.compress(zeros)), (b"br", b"\xff" * 100)]


def _compressed(rng: Random, target: Target) -> Request:
    _, path, _ = _posted(rng, target)
    encoding, body = rng.choice(_bombs())
    return Request("compressed", plain(b"POST", path, body, more=b"content-encoding: " + encoding))


def _large(rng: Random, target: Target) -> Request:
    """Make a request over the limits of bytes, instances or entries."""
    usecase, path, body = _posted(rng, target)
    row = bodies.encoded(usecase.rows[0])
    name = b"instances" if path.endswith(b"predict") else b"feedback"
    many = b'{"%b":[%b]}' % (name, b",".join([row] * rng.choice((1_000, 10_001))))
    return Request("large", plain(b"POST", path, rng.choice((many, body + b" " * rng.choice((10_000, 1_100_000))))))


def _pipelined(rng: Random, target: Target) -> Request:
    """Make several requests in one write, each with its own response."""
    each = [plain(b"GET", b"/livez"), plain(b"GET", b"/v1/models"), plain(b"GET", b"/x")]
    for _ in range(3):
        usecase, path, body = _posted(rng, target)
        each += [plain(b"POST", path, body), plain(b"POST", path, bodies.bytes_changed(rng, body))]
    count = rng.randint(2, 20)
    return Request("pipelined", b"".join(rng.choice(each) for _ in range(count)), answers=count)


def _damaged(rng: Random, target: Target) -> Request:
    """Mutate or cut the bytes of a complete request, or append one that is no HTTP."""
    _, path, body = _posted(rng, target)
    whole = plain(b"POST", path, body)
    return Request("damaged", bodies.bytes_changed(rng, whole), PERHAPS)


def _stranger(rng: Random, target: Target) -> Request:
    data = rng.choice(headers.STRANGERS) if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 2000))
    return Request("no HTTP", data, PERHAPS)


_MAKERS = [
    (_json, 36),
    (_bytes, 8),
    (_image, 10),
    (_form, 10),
    (_route, 12),
    (_headers, 8),
    (_broken_headers, 3),
    (_length, 2),
    (_chunked, 4),
    (_compressed, 1),
    (_large, 0.5),
    (_pipelined, 1.5),
    (_damaged, 3),
    (_stranger, 1),
]
