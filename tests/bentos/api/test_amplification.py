"""No request makes the server take many times the memory or the time of its bytes."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from slipway.settings import settings
from tests.support import bundles

LARGE = 4_000_000
ROW = b'{"age":30,"visits":3,"job":"nurse","member":true}'


def filled(begin: bytes, part: bytes, end: bytes) -> bytes:
    return begin + part * (LARGE // len(part)) + end


PREDICT = {
    "empty instances": filled(b'{"instances":[', b"{},", b"{}]}"),
    "rows": filled(b'{"instances":[', ROW + b",", ROW + b"]}"),
    "array instances": filled(b'{"instances":[', b"[],", b"[]]}"),
    "keys": filled(b'{"instances":[' + ROW + b'],"keys":[', b'"a",', b'"a"]}'),
    "keys before the instances": filled(b'{"keys":[', b'"",', b'""],"instances":[' + ROW + b"]}"),
    "a retired feature": filled(b'{"instances":[{"fax":[', b"[],", b"[]]}]}"),
    "objects in a retired feature": filled(b'{"instances":[{"fax":[', b'{"":0},', b"0]}]}"),
    "an unknown feature": filled(b'{"instances":[{"', b"x", b'":1}]}'),
    "an unknown key": filled(b'{"', b" - at `$.", b'\\n":1}'),
    "a category": filled(b'{"instances":[{"age":30,"visits":3,"job":"', b"x", b'","member":true}]}'),
    "a category outside of Latin": filled(b'{"instances":[{"age":30,"job":"\xf0\x9f\x98\x80', b"x", b'"}]}'),
    "a key": filled(b'{"instances":[' + ROW + b'],"keys":["', b"x", b'"]}'),
    "commas in a text": filled(b'{"instances":[{"age":30,"job":"', b"{[,", b'"}]}'),
    "digits": filled(b'{"instances":[{"age":30,"visits":', b"9", b"}]}"),
    "blanks": filled(b"", b" ", b"{}"),
}
FEEDBACK = {
    "empty entries": filled(b'{"feedback":[', b"{},", b"{}]}"),
    "entries": filled(b'{"feedback":[', b'{"key":"k","label":"bad"},', b'{"key":"k","label":"bad"}]}'),
    "a label": filled(b'{"feedback":[{"key":"k","label":"', b"x", b'"}]}'),
    "a label like a class": filled(b'{"feedback":[{"key":"k","label":"', b"good", b'"}]}'),
    "a key": filled(b'{"feedback":[{"label":"bad","key":"', b"x", b'"}]}'),
    "an id": filled(b'{"feedback":[{"label":"bad","id":"', b"0", b'"}]}'),
    "an unknown field": filled(b'{"feedback":[{"', b" - at `$.", b'\\n":1}]}'),
    "lists": filled(b"", b"[", b""),
}
CASES = [
    pytest.param(path, body, id=f"{path}: {name}")
    for path, bodies in {"predict": PREDICT, "feedback": FEEDBACK}.items()
    for name, body in bodies.items()
]


@pytest.mark.parametrize(("path", "body"), CASES)
def test_a_body_takes_little_more_memory_and_time_than_its_bytes(start_client, path, body):
    client = start_client()
    tracemalloc.start()
    began = time.process_time()
    try:
        answer = client.post(f"/v1/models/loans/{path}", body)
        took = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 400 <= answer.status < 500
    assert len(answer.body) < 2000
    assert peak < 8 * len(body)
    assert took < 1
    assert client.events() == client.events(stream="feedback") == []


def test_rows_have_a_smaller_limit_than_images(start_client):
    rows, images = settings().body_limit(images=False), settings().body_limit(images=True)
    assert rows < images
    client = start_client(bundles.TABULAR, bundles.IMAGES)
    blank = b" " * (rows + 1)
    assert client.post("/v1/models/loans/predict", blank).status == 413
    assert client.post("/v1/models/loans/feedback", blank).status == 413
    assert client.post("/v1/models/shapes/feedback", blank).status == 413
    assert client.post("/v1/models/shapes/predict", blank).status == 400


def test_a_limit_that_is_set_holds_for_all(monkeypatch):
    monkeypatch.setenv("SLIPWAY_MAX_BODY_BYTES", "5000")
    settings.cache_clear()
    assert settings().body_limit(images=False) == settings().body_limit(images=True) == 5000
