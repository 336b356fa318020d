"""Limits of rows: instances and entries of feedback count one by one, in requests of any size, kind and role."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from bentos.auth.rate_limits import ROWS, FixedWindowCounter, Limit
from bentos.fast_path.micro_batch import MicroBatch, PendingRequest
from bentos.models.loaded_model import LoadedModel
from bentos.request import read_context
from slipway.serving_state.desired import Canary
from slipway.settings import settings
from tests.bentos.auth.credentials import ROW, bearer, predict
from tests.bentos.auth.issuers import Issuer
from tests.bentos.fast_path.connection import Connection
from tests.support import bundles
from tests.support.servers import free_port
from tests.support.waiting import until

LABEL = {"key": "a", "label": "bad"}


def rows(client: Any, number: int, secret: str, row: Any = ROW) -> Any:
    return client.post("/v1/models/loans/predict", {"instances": [row] * number}, **bearer(secret))


def left(answer: Any) -> int:
    return int(answer.headers["ratelimit-rows-remaining"])


def test_rows_are_counted_and_a_request_over_the_limit_uses_up_none(start_client, key, audit):
    secret, client = key("ci", "predict", rows="10/hour"), start_client()
    found = [rows(client, number, secret) for number in (6, 5, 4, 1)]
    assert [answer.status for answer in found] == [200, 429, 200, 429]
    assert [left(answer) for answer in found] == [4, 4, 0, 0]
    refused = found[1]
    assert refused.json["detail"] == "this credential is limited to 10 rows in 3600 s. 5 received, 4 left."
    assert refused.headers["retry-after"] == refused.headers["ratelimit-rows-reset"]
    assert 3590 < int(refused.headers["retry-after"]) <= 3600
    assert {answer.headers["ratelimit-rows-limit"] for answer in found} == {"10"}
    assert "ratelimit-limit" not in refused.headers
    assert len(client.events()) == 10
    assert json.loads(audit[0])["user"] == {"name": "ci"} and "10 rows" in json.loads(audit[0])["message"]


def test_a_request_of_more_rows_than_any_window_has_is_told_the_most(start_client, key, audit):
    secret, client = key("ci", "predict", "feedback", rows="10/hour"), start_client()
    refused = rows(client, 11, secret)
    assert (refused.status, refused.json["place"]) == (413, "instances")
    assert refused.json["detail"].startswith("11 rows received, at most 10 are possible")
    assert "retry-after" not in refused.headers and client.events() == []
    labels = client.post("/v1/models/loans/feedback", {"feedback": [LABEL] * 11}, **bearer(secret))
    assert (labels.status, labels.json["place"]) == (413, "feedback")
    assert rows(client, 10, secret).status == 200, "nothing was counted"
    assert [json.loads(line)["http"]["response"]["status_code"] for line in audit] == [413, 413]


def test_entries_of_feedback_are_rows_too(start_client, key):
    secret, client = key("ci", "predict", "feedback", rows="10/hour"), start_client()

    def label(number: int) -> Any:
        return client.post("/v1/models/loans/feedback", {"feedback": [LABEL] * number}, **bearer(secret))

    assert [rows(client, 3, secret).status, label(7).status, label(1).status, rows(client, 1, secret).status] == [
        200,
        200,
        429,
        429,
    ]
    assert len(client.events(stream="feedback")) == 7


def test_requests_and_rows_are_counted_apart(start_client, key):
    """Both limits have the same number and window here."""
    secret, client = key("ci", "predict", rate="3/hour", rows="3/hour"), start_client()
    first, second, third, fourth = (rows(client, number, secret) for number in (2, 2, 1, 1))
    assert [answer.status for answer in (first, second, third, fourth)] == [200, 429, 200, 429]
    assert "3 rows" in second.json["detail"] and "3 requests" in fourth.json["detail"]
    assert (first.headers["ratelimit-remaining"], left(first)) == ("2", 1)
    assert (third.headers["ratelimit-remaining"], left(third)) == ("0", 0)


@pytest.mark.parametrize("inline", [True, False])
def test_what_is_refused_as_invalid_or_never_was_a_row_is_not_counted(start_client, key, monkeypatch, inline):
    monkeypatch.setattr(LoadedModel, "runs_inline", lambda *_: inline)
    secret, client = key("ci", "predict", rows="10/hour"), start_client()
    wrong = [
        b"{",
        b"[]",
        b'{"instances":7}',
        b'{"instances":[]}',
        json.dumps({"instances": [{"age": "x"}] * 4}).encode(),
    ]
    statuses = [client.post("/v1/models/loans/predict", body, **bearer(secret)).status for body in wrong]
    assert all(400 <= status < 430 and status != 429 for status in statuses), statuses
    assert left(rows(client, 10, secret)) == 0


def test_of_instances_that_are_given_twice_those_are_counted_that_are_predicted(start_client, key):
    secret, client = key("ci", "predict", rows="10/hour"), start_client()
    many, few = (b"[%b]" % b",".join([json.dumps(ROW).encode()] * number) for number in (4, 1))
    for first, second in ((many, few), (few, many)):
        answer = client.post("/v1/predict", b'{"instances":%b,"instances":%b}' % (first, second), **bearer(secret))
        assert answer.status == 200
    assert left(answer) == 10 - len(client.events())


def test_rows_that_run_on_the_pool_or_arrive_in_parts_are_counted(start_client, key, monkeypatch):
    monkeypatch.setattr(LoadedModel, "runs_inline", lambda *_: False)
    secret, client = key("ci", "predict", rows="10/hour"), start_client()
    assert [rows(client, 6, secret).status, rows(client, 5, secret).status] == [200, 429]
    body = json.dumps({"instances": [ROW] * 5}).encode()
    parts = [body[k : k + 50] for k in range(0, len(body), 50)]
    connection = Connection(client, *parts, headers=[(b"x-api-key", secret.encode())])
    assert asyncio.run(connection.answered()) == 429
    assert client.worker.admission.bytes == 0


def test_a_request_that_is_refused_for_overload_is_not_even_parsed(start_client, key, monkeypatch):
    monkeypatch.setattr(LoadedModel, "runs_inline", lambda *_: False)
    secret, client = key("ci", "predict", rows="10/hour"), start_client()
    with monkeypatch.context() as overload:
        overload.setattr(client.worker.admission, "_max_waiting", 0)
        overload.setattr("bentos.prediction.pipeline.count_rows", None)
        refused = rows(client, 6, secret)
    assert refused.status == 503 and refused.headers["retry-after"] == "1"
    assert left(rows(client, 6, secret)) == 4


def test_images_of_a_form_are_rows(start_client, key):
    secret, client = key("ci", "predict", rows="3/hour"), start_client(bundles.IMAGES)
    part = b'--x\r\ncontent-disposition: form-data; name="image"\r\n\r\n%b\r\n' % bundles.png()
    headers = bearer(secret) | {"content-type": "multipart/form-data; boundary=x"}
    statuses = [
        client.request("POST", "/v1/models/shapes/predict", part * number + b"--x--\r\n", headers).status
        for number in (2, 2, 1, 4)
    ]
    assert statuses == [200, 429, 200, 413]


def test_rows_are_counted_once_whoever_predicts_them(start_client, key, var, tmp_path):
    """Ask a canary, which fails, then the champion in its place, and a shadow, which gets a copy."""
    digests = []
    for version, fault in (("1", None), ("2", "nan")):
        digests.append(
            bundles.write(tmp_path / version, bias=int(version) / 10, fault=fault, serving={"swap_ratio": 1e6})
        )
        bundles.put_in_store(var, tmp_path / version, version)
    champion, canary = digests
    bundles.point(var, "loans", champion, canary=Canary(canary, 100), shadow=champion)
    secret, client = key("ci", "predict", rows="10/hour"), start_client(promote=False)
    until(lambda: client.worker.served["loans"].dispatcher.has_canary)
    found = [rows(client, 4, secret, {**ROW, "age": 99.0}) for _ in range(3)]
    assert [answer.status for answer in found] == [200, 200, 429]
    assert [left(answer) for answer in found] == [6, 2, 2]


def test_keys_of_one_caller_have_limits_of_their_own_and_a_default(start_client, key, monkeypatch):
    monkeypatch.setenv("SLIPWAY_ROWS", "5/hour")
    one, other, own = key("ann-1", "predict"), key("ann-2", "predict"), key("ann-3", "predict", rows="7/hour")
    client = start_client()
    assert [rows(client, 5, secret).status for secret in (one, one, other, own)] == [200, 429, 200, 200]
    assert rows(client, 1, own).headers["ratelimit-rows-limit"] == "7"


def test_tokens_of_one_subject_share_the_default_limit(start_client, monkeypatch, tmp_path):
    issuer, file = Issuer(), tmp_path / "jwks.json"
    issuer._server.server_close()
    file.write_text(json.dumps({"keys": [issuer.key.as_dict(private=False)]}))
    for name, value in (issuer.settings | {"SLIPWAY_JWT_JWKS": str(file), "SLIPWAY_ROWS": "5/hour"}).items():
        monkeypatch.setenv(name, value)
    client = start_client()
    assert [rows(client, 3, issuer.token(jti=str(n))).status for n in range(2)] == [200, 429]
    assert rows(client, 3, issuer.token(sub="bob")).status == 200
    assert rows(client, 6, issuer.token(sub="eve")).status == 413


def test_a_limit_that_is_taken_from_the_file_ends(start_client, key):
    secret, path, client = key("ci", "predict", rows="5/hour"), settings().key_file, start_client()
    assert [rows(client, 5, secret).status for _ in range(2)] == [200, 429]
    file = json.loads(path.read_text())
    del file["keys"][0]["rows"]
    path.write_text(json.dumps(file))
    client.worker.authenticator._refresh_at = -1.0
    answer = rows(client, 50, secret)
    assert answer.status == 200 and "ratelimit-rows-limit" not in answer.headers


def test_the_fast_path_leaves_a_key_with_a_limit_of_rows_to_the_other_one(start_client, key):
    secret, client = key("ci", "predict", rate="5/hour", rows="5/hour"), start_client()

    async def taken() -> bool:
        batch = MicroBatch(client.worker, asyncio.get_running_loop())
        context = read_context([(b"content-type", b"application/json"), (b"x-api-key", secret.encode())])
        body = json.dumps({"instances": [ROW]}).encode()
        return batch.enqueue(PendingRequest(None, "loans", time.perf_counter_ns(), context, body))

    assert not asyncio.run(taken())
    answer = predict(client, **bearer(secret))
    assert (answer.headers["ratelimit-remaining"], left(answer)) == ("4", 4), "it was counted once"


def test_a_window_of_rows_ends_by_the_monotonic_clock(monkeypatch):
    counter, limit = FixedWindowCounter(), Limit.of("10/minute", "ann", ROWS)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    counts = [counter.charge(limit, rows, now) for rows, now in ((8, 5.0), (3, 64.9), (2, 64.9), (3, 65.0))]
    assert [(count.used, count.refused) for count in counts] == [(8, False), (8, True), (10, False), (3, False)]


def test_while_redis_is_away_each_worker_counts_rows(start_client, key, monkeypatch):
    monkeypatch.setenv("SLIPWAY_REDIS_URL", f"redis://:secret@127.0.0.1:{free_port()}")
    secret, client = key("ci", "predict", rate="5/hour", rows="5/hour"), start_client()
    found = [rows(client, number, secret) for number in (3, 3, 2, 6)]
    assert [answer.status for answer in found] == [200, 429, 200, 413]
    assert "5 rows" in found[1].json["detail"] and "retry-after" in found[1].headers
