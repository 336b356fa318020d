"""Requests answered below ASGI: the same answers, in order, in micro-batches, and no request of another route."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bentos.prediction import pipeline
from bentos.prediction.types import PredictionCall
from bentos.request import RequestContext
from slipway.errors import InputError
from tests.bentos.fast_path.raw_requests import PATH, ROW, answers, request
from tests.bentos.server.processes import Server
from tests.support import bundles


def test_a_pipeline_is_answered_in_its_order_whoever_answers(connection: socket.socket) -> None:
    """Mix requests of the fast path, of ASGI (another route, HTTP's Expect) and refused ones on one connection."""
    connection.sendall(
        request(ROW, more="x-request-id: 1\r\n")
        + request(ROW, "/v1/predict?a=b", "x-request-id: 2\r\n")
        + request({"age": "old"}, more="x-request-id: 3\r\n")
        + b"GET /v1/model HTTP/1.1\r\nhost: localhost\r\n\r\n"
        + request(ROW, more="x-request-id: 5\r\n")
    )
    found = answers(connection, 5)
    assert [status for status, _ in found] == [200, 200, 422, 200, 200]
    assert [found[k][1]["request_id"] for k in (0, 1, 4)] == ["1", "2", "5"]
    assert found[2][1]["place"] == "instances[0].age"
    assert found[3][1]["name"] == "loans"


def test_a_request_in_pieces_is_answered_wherever_it_is_cut(connection: socket.socket) -> None:
    whole = request(ROW)
    for cut in range(1, len(whole), 17):
        connection.sendall(whole[:cut])
        time.sleep(0.002)
        connection.sendall(whole[cut:])
        ((status, content),) = answers(connection, 1)
        assert (status, len(content["predictions"])) == (200, 1)


def test_a_client_that_asks_for_http2_is_answered_also_by_its_cached_head(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(
            request(ROW, more="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n")
        )
        ((status, content),) = answers(connection, 1)
        assert (status, len(content["predictions"])) == (200, 1)


def test_a_connection_that_is_idle_after_a_direct_answer_is_closed_as_any_other(connection: socket.socket) -> None:
    connection.sendall(request(ROW))
    answers(connection, 1)
    started = time.monotonic()
    assert connection.recv(1) == b""
    assert time.monotonic() - started < 19


@pytest.mark.slow
def test_a_client_that_sends_often_is_no_slow_sender(tmp_path: Path) -> None:
    """Send pipelines until each check for slow clients has met a connection with a new request in progress."""
    bundles.promote(tmp_path / "var", tmp_path / "one")
    statuses: Counter[int] = Counter()

    def send(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connected:
            while time.monotonic() < end:
                connected.sendall(request(ROW) * 20)
                statuses.update(status for status, _ in answers(connected, 20))

    with Server(tmp_path / "var", ("loans",), SLIPWAY_MAX_RECEIVE_SECONDS="0.2") as server:
        end = time.monotonic() + 2
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(send, [server.port] * 4))
    assert set(statuses) == {200}
    assert statuses[200] > 100


def test_without_the_fast_path_the_service_answers_the_same(server: Server, tmp_path: Path) -> None:
    bundles.promote(tmp_path / "var", tmp_path / "one")
    requests = (
        request(ROW, more="x-request-id: 1\r\n")
        + request({"age": "old"}, more="x-request-id: 2\r\n")
        + request({**ROW, "age": 900}, more="x-request-id: 3\r\n")
        + b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
        + b"POST /v1/predict HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"
    )
    found = []
    with Server(tmp_path / "var", ("loans",), SLIPWAY_FAST_PATH="off") as slow:
        for running in (server, slow):
            with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connected:
                connected.sendall(requests[: requests.rindex(b"POST")])
                responses = answers(connected, 4)
                connected.sendall(requests[requests.rindex(b"POST") :])
                responses += answers(connected, 1)
                found.append([(status, _without_ids(content)) for status, content in responses])
    assert [status for status, _ in found[0]] == [200, 422, 200, 200, 400]
    assert found[0] == found[1]


def _without_ids(content: dict) -> dict:
    rows = [{**row, "id": ""} for row in content.get("predictions", [])]
    return {**content, "trace_id": "", "predictions": rows}


def test_answers_of_the_fast_path_and_of_asgi_have_the_same_headers(server: Server) -> None:
    headers = []
    for path in (PATH, PATH + "?by=asgi"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connected:
            connected.sendall(request(ROW, path))
            head = connected.recv(65536).partition(b"\r\n\r\n")[0].decode()
        lines = head.split("\r\n")
        headers.append((lines[0], {line.partition(":")[0] for line in lines[1:]}))
    assert headers[0] == headers[1]
    assert "x-content-type-options" in headers[0][1]


def test_requests_that_arrive_together_share_one_run_and_each_gets_its_own_answer(start_client, monkeypatch) -> None:
    client = start_client()
    served = client.worker.served["loans"]
    runs = []
    predict = served.live.predictor.run
    monkeypatch.setattr(
        served.live.predictor, "run", lambda feeds: runs.append(len(feeds["numbers"])) or predict(feeds)
    )
    rows = [[{**ROW, "age": age}] for age in (20, 30)] + [[{**ROW, "age": "old"}], [ROW, {**ROW, "age": 900}]]
    outcomes = pipeline.run([_call(served, number, rows[number]) for number in range(4)])
    assert runs == [4]
    assert isinstance(outcomes[2], InputError)
    together = [json.loads(outcome) for outcome in outcomes if isinstance(outcome, bytes)]
    assert [found["request_id"] for found in together] == ["0", "1", "3"]
    assert [[w["instance"] for w in found["warnings"]] for found in together] == [[], [], [1]]
    for found, instances in zip(together, (rows[0], rows[1], rows[3]), strict=True):
        alone = json.loads(pipeline.run_one(_call(served, 9, instances)))
        assert [row["score"] for row in found["predictions"]] == pytest.approx(
            [row["score"] for row in alone["predictions"]], abs=1e-6
        )
    assert len(client.events()) == 8


def test_where_the_network_fails_for_a_batch_each_request_runs_alone(start_client, monkeypatch) -> None:
    client = start_client()
    served = client.worker.served["loans"]
    predict = served.live.predictor.run

    def run(feeds):
        if (feeds["numbers"] == 66).any():
            raise RuntimeError("a row that the network cannot bear")
        return predict(feeds)

    monkeypatch.setattr(served.live.predictor, "run", run)
    outcomes = pipeline.run([_call(served, number, [{**ROW, "age": age}]) for number, age in enumerate((20, 66, 30))])
    assert [isinstance(outcome, bytes) for outcome in outcomes] == [True, False, True]
    assert sorted(event["event"]["outcome"] for event in client.events()) == ["failure", "success", "success"]


def _call(served, number: int, rows: list[dict]) -> PredictionCall:
    head = RequestContext(f"{number:036}", "0" * 32, str(number), b"application/json", None, b"")
    return PredictionCall(
        served.context, served.live, head, json.dumps({"instances": rows}).encode(), time.perf_counter_ns()
    )


def test_a_request_of_another_site_is_refused_also_with_cached_headers(connection: socket.socket) -> None:
    foreign = request(ROW, more="origin: https://evil.example\r\n")
    rebound = request(ROW).replace(b"host: localhost", b"host: evil.example")
    twice = request(ROW, more="host: evil.example\r\n")
    for data, status in ((request(ROW), 200), (foreign, 403), (rebound, 403), (twice, 403), (request(ROW), 200)) * 2:
        connection.sendall(data)
        assert answers(connection, 1)[0][0] == status
