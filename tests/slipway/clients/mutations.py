"""Changes of a JSON document: each field of another value, left out, or replaced by what is no JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

MISSING = object()
DEEP: Any = json.loads("[" * 500 + "]" * 500)
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a negative number": -1,
    "a fraction": 0.5,
    "a huge number": 10**400,
    "a number of 64 bits": 2**63,
    "a text": "text",
    "an empty text": "",
    "a text of many lines": "a\n\x1b[31mb\r" * 1000,
    "a huge text": "x" * 100_000,
    "a time that is none": "0001-01-01T00:00:00+14:00",
    "a URI that is none": "mlflow-artifacts://[",
    "a list": [],
    "a list of nulls": [None],
    "an object": {},
    "an object of an object": {"a": {"b": None}},
    "deep nesting": DEEP,
    "nothing": MISSING,
}
RAW = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "1e999": b"1e999",
    "a number of 5,000 digits": b"9" * 5000,
    "what is no UTF-8": b'"\xff\xfe"',
    "half a surrogate": b'"\\ud800"',
    "nesting without end": b"[" * 20_000,
    "half a text": b'"a',
}
MARK = "mark-of-the-field"


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each field and element, that of the document first."""
    yield at
    items = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in items:
        yield from places(value, (*at, key))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Return the document with another value at the path."""
    if not at:
        return {} if value is MISSING else value
    result = copy.deepcopy(document)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return result


def mutations(document: Any) -> Iterator[bytes]:
    """Yield the document with each change of each field."""
    for at in places(document):
        for value in VALUES.values():
            yield json.dumps(changed(document, at, value)).encode()
        for raw in RAW.values():
            yield json.dumps(changed(document, at, MARK)).encode().replace(json.dumps(MARK).encode(), raw)


def answer_all(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Have every request answered by 200, with the content that the function which is returned is given."""
    held = [b""]
    stream = type("Stream", (), {"get_extra_info": lambda self, name: ("127.0.0.1", 9)})()

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(held[0]), extensions={"network_stream": stream})

    monkeypatch.setattr("slipway.clients.deadline.DeadlineTransport", lambda **_: httpx.MockTransport(handle))
    return lambda content: held.__setitem__(0, content)
