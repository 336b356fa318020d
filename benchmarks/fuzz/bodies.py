"""Adversarial JSON bodies: valid ones, mutated in their structure, their values or their bytes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from benchmarks.fuzz.target import UseCase


class Raw(bytes):
    """JSON, or text that resembles it, to be written unchanged."""


class Pairs(list):
    """Object as its pairs, which may repeat a name."""


def _deep(opening: bytes, closing: bytes, depth: int) -> Raw:
    return Raw(opening * depth + b"1" + closing * depth)


NUMBERS = [
    *(Raw(text.encode()) for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "-1e308", "1e-400")),
    *(Raw(text.encode()) for text in ("3.4028235e38", "3.4028236e38", "-0", "-0.0", "0x10", "01", "1.", ".5", "+1")),
    *(Raw(text.encode()) for text in ("1e", "1e+", "--1", "1_000", "1,5", "9007199254740993", "0.1e1", "1E400")),
    *(Raw(str(number).encode()) for number in (2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**308, 10**400)),
    Raw(b"1" * 5000),
    Raw(b"0." + b"1" * 5000),
    Raw(b"1e" + b"9" * 100),
]
TEXTS = [
    *(Raw(text) for text in (rb'"\ud800"', rb'"\udc00\ud800"', rb'"\u0000"', rb'"\x41"', rb'"\u12"', b'"open', b"'a'")),
    *(
        Raw(text)
        for text in (b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\xf5\x80\x80\x80"', b'"a\nb"', b'"\0"')
    ),
    *("", " ", "NaN", "null", "30", "1e5", "true", "\u202eevil", "🦀" * 50, "ﷺ" * 100, "../../etc/passwd", "%s%n%d"),
    *("{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "'; DROP TABLE x; --", "a" * 100_000, "\x7f\x1b[2J"),
    "tok_" + "0" * 32,
]
OTHERS = [
    *(
        Raw(text)
        for text in (b"undefined", b"None", b"tru", b"nul", b"", b"// x", b"/* */", b"{", b"[", b"}", b"]", b",")
    ),
    *(Raw(text) for text in (b"[1,]", b'{"a":1,}', b'{"a"}', b"{1:2}", b"[,1]", b"\xef\xbb\xbf1")),
    *(True, False, None, [], {}, [[]], [None], [1, 2, 3], {"a": {}}, {"": ""}, {"__proto__": {}}, {"$ref": "#"}),
    *({"b64": ""}, {"b64": "AA=="}, {"b64": "not base64!"}, {"b64": None}, {"url": "http://127.0.0.1:1/x.png"}),
    *(_deep(b"[", b"]", depth) for depth in (10, 500, 5_000, 50_000)),
    *(_deep(b'{"a":', b"}", depth) for depth in (10, 500, 20_000)),
    Raw(b"[" * 100_000),
    Raw(b'{"a":' * 50_000),
]
TIMES = ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
TIMES += ["2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31T23:59:60Z", "2026-01-31T12:00:00+99:99", "1e9"]
TIMES += ["1970-01-01T00:00:00+23:59", "2999-12-31T23:59:59-23:59", "2026-01-31T12:00:00." + "9" * 40 + "Z"]
HOSTILE = [*NUMBERS, *TEXTS, *OTHERS]
NAMES = ["", "instance", "Instances", "__class__", "constructor", "a" * 5_000, "\u0000", "é", "instances[0]", "$", "`"]


def encoded(value: Any) -> bytes:
    """Encode JSON as `json.dumps` does, except `Raw` and `Pairs`."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        value = Pairs(value.items())
    if isinstance(value, Pairs):
        return b"{" + b",".join(json.dumps(name).encode() + b":" + encoded(item) for name, item in value) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(encoded(item) for item in value) + b"]"
    return json.dumps(value).encode()


def prediction(rng: Random, usecase: UseCase) -> dict[str, Any]:
    """Make a valid prediction body of up to three rows."""
    rows = [dict(rng.choice(usecase.rows)) for _ in range(rng.randint(1, 3))]
    return {"instances": rows} | ({"keys": [f"k{n}" for n in range(len(rows))]} if rng.random() < 0.3 else {})


def feedback(rng: Random, usecase: UseCase) -> dict[str, Any]:
    """Make a valid feedback body with a well-formed id that no prediction has."""
    name = {"key": "k"} if rng.random() < 0.5 else {"id": f"{'0' * 8}-0000-7000-8000-{'0' * 12}-0"}
    return {"feedback": [name | usecase.truth for _ in range(rng.randint(1, 3))]}


def changed(rng: Random, content: dict[str, Any]) -> bytes:
    """Mutate the structure of a body one to three times, then perhaps its bytes."""
    value: Any = content
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _changed(rng, value)
    body = encoded(value)
    return bytes_changed(rng, body) if rng.random() < 0.2 else body


def _changed(rng: Random, value: Any) -> Any:
    """Mutate the value once at a random depth."""
    if isinstance(value, Pairs) or not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(HOSTILE)
    if isinstance(value, list):
        return _list_changed(rng, value)
    name = rng.choice(list(value))
    if rng.random() < 0.6:
        item = rng.choice(TIMES) if name == "known_at" else _changed(rng, value[name])
        return {**value, name: item}
    return _object_changed(rng, value, name)


def _list_changed(rng: Random, value: list[Any]) -> Any:
    position = rng.randrange(len(value))
    match rng.randrange(6):
        case 0:
            return value[:position] + value[position + 1 :]
        case 1:
            return [*value, rng.choice(HOSTILE)]
        case 2:
            return value * rng.choice((2, 10, 200))
        case 3 if isinstance(value[position], dict):
            listed = list(value[position].values())
            return [*value[:position], rng.choice((listed, listed[:-1], [*listed, 1])), *value[position + 1 :]]
    return [*value[:position], _changed(rng, value[position]), *value[position + 1 :]]


def _object_changed(rng: Random, value: dict[str, Any], name: str) -> Any:
    match rng.randrange(6):
        case 0:
            return {key: item for key, item in value.items() if key != name}
        case 1:
            return {**value, rng.choice(NAMES): rng.choice(HOSTILE)}
        case 2:
            return Pairs([*value.items(), (name, rng.choice(HOSTILE))])
        case 3:
            return Pairs([(name, rng.choice(HOSTILE)), *value.items()])
        case 4:
            return {(name.upper() if key == name else key): item for key, item in value.items()}
    return {**value, name: None, "known_at": rng.choice(TIMES)}


def bytes_changed(rng: Random, body: bytes) -> bytes:
    """Mutate bytes: flip, cut, double, encode otherwise, or put bytes before or after."""
    match rng.randrange(8):
        case 0:
            return body[: rng.randrange(len(body) + 1)]
        case 1:
            return body + rng.choice((b"\0", b"}", b" ", body, b"\xff", b"//", b"\n" * 1000))
        case 2:
            return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b" " * 1000, b"\0", b")]}',\n")) + body
        case 3:
            return body.decode("utf-8", "replace").encode(
                rng.choice(("utf-16", "utf-32", "utf-16-be", "utf-7")), "replace"
            )
        case 4:
            begin = rng.randrange(len(body) + 1)
            return body[:begin] + rng.randbytes(rng.randint(1, 20)) + body[begin + rng.randrange(20) :]
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)
