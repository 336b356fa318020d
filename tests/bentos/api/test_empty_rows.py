"""Rows that leave everything out are short, and not free: each value that is missing is a warning."""

from __future__ import annotations

import time
import tracemalloc

import msgspec
import pytest

from bentos.models.loaded_model import INLINE_VALUES
from bentos.prediction import pipeline
from slipway.contracts.schema import Feature
from tests.support import bundles

WIDE = tuple(Feature(f"f{number}", "number", nullable=True, range=(0.0, 1.0)) for number in range(100))
CODES = tuple(msgspec.structs.replace(feature, nullable=True) for feature in bundles.TABULAR.features[2:])
SCHEMA = msgspec.structs.replace(bundles.TABULAR, features=(*WIDE, *CODES))


def empty(rows: int, row: bytes = b"{}") -> bytes:
    return b'{"instances":[' + b",".join([row] * rows) + b"]}"


@pytest.fixture
def client(start_client, monkeypatch):
    usual = {feature.name: 0.5 for feature in WIDE} | {"job": "nurse", "member": True}
    monkeypatch.setitem(bundles.ROWS, "loans", [usual] * 20)
    return start_client(SCHEMA)


def test_more_warnings_than_fit_into_a_response_are_refused_before_they_are_made(client):
    body = empty(10_000)
    tracemalloc.start()
    began = time.process_time()
    answer = client.post("/v1/models/loans/predict", body)
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status, answer.json["place"]) == (413, "instances")
    assert "1,020,000 values are missing" in answer.json["detail"]
    assert peak < 100_000_000
    assert took < 5
    assert client.events() == []


def test_as_many_warnings_as_fit_are_answered(client, monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_WARNINGS", 1020)
    answer = client.post("/v1/models/loans/predict", empty(10))
    assert len(answer.json["warnings"]) == 1020
    assert {warning["instance"] for warning in answer.json["warnings"]} == set(range(10))
    assert client.post("/v1/models/loans/predict", empty(11)).status == 413


@pytest.mark.parametrize("row", [b"{}", b"{ }", b'{"f1":1}', b"[" + b",".join([b"null"] * 102) + b"]"])
def test_many_short_rows_do_not_hold_up_the_event_loop(client, row):
    live = client.worker.served["loans"].live
    most = INLINE_VALUES // 102
    assert live.runs_inline(empty(1, row)) and live.runs_inline(empty(most, row))
    assert not live.runs_inline(empty(2 * most, row))
    assert not live.runs_inline(b" " * (live.inline_bytes + 1))


def test_as_many_usual_rows_as_ever_are_answered_at_once(start_client):
    live = start_client().worker.served["loans"].live
    row = b'{"age": 30, "visits": 3, "job": "nurse", "member": true}'
    assert live.runs_inline(empty((live.inline_bytes - 100) // (len(row) + 1), row))
