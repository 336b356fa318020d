"""The server as real processes: killed, terminated, swapped under load, and refused at its start."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.bentos.server.processes import ROOT, Load, Server, logged_ids
from tests.support import bundles

ROW = bundles.ROWS["loans"][0]


def test_a_killed_worker_and_a_killed_server_lose_no_answered_prediction(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "one")
    server = serve("loans", workers=2)
    victim, survivor = server.workers()
    with Load(server, "loans", ROW) as load:
        time.sleep(2)
        os.kill(victim, signal.SIGKILL)
        time.sleep(2)
        os.kill(server.process.pid, signal.SIGKILL)
        time.sleep(1)
    assert len(load.answered) > 100
    assert load.failed == []
    logged = logged_ids(var)
    assert [identity for identity in load.ids if logged[identity] != 1] == []
    psutil.wait_procs([psutil.Process(survivor)] if psutil.pid_exists(survivor) else [], timeout=20)
    assert not psutil.pid_exists(survivor), "a worker outlived its killed supervisor"
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


def test_workers_are_one_server_and_every_layer_speaks_problems(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "one")
    server = serve("loans", workers=2)
    _predict_and_see_it_counted(server, 40, of=40)
    _kill_a_worker_and_wait(server)
    _predict_and_see_it_counted(server, 40, of=80)
    for process in ("supervisor", "worker-1", "worker-2"):  # a worker that was started again keeps its number
        assert server.metric("slipway_process_resident_memory_bytes", process=process) > 1 << 20
    assert len(json.loads(server.get("/v1/models/loans")[1])["workers"]) == 2

    for wrong in (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: two\r\n\r\n{}",
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n",
        b"\x16\x03\x01rubbish\r\n\r\n",
    ):
        status, kind, content = _raw(server, wrong)
        assert (status, kind) == (400, "application/problem+json")
        assert len(content["trace_id"]) == 32
    status, kind, content = _raw(server, b"GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (status, kind, content["status"]) == (404, "application/problem+json", 404)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_body()), _body())
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert _raw(server, head + chunks)[0] == 200


def _predict_and_see_it_counted(server: Server, number: int, of: int) -> None:
    """Use a connection for each request, so that both workers answer some."""
    for _ in range(number):
        assert server.predict("loans", **ROW)[0] == 200
    server.wait_for_metric(of, "slipway_requests_total", route="predict", code="200")
    server.wait_for_metric(of, "slipway_predictions_total")
    server.wait_for_metric(1, "slipway_model_info")


def _body() -> bytes:
    return json.dumps({"instances": [ROW]}).encode()


def _kill_a_worker_and_wait(server: Server) -> None:
    """Wait for the restart: BentoML's supervisor checks every 10 s."""
    before = server.workers()
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        after = json.loads(server.get("/v1/models/loans")[1])["workers"]
        if len(after) == 2 and {state["pid"] for state in after} != set(before) and all(s["serving"] for s in after):
            return
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.3)


def _raw(server: Server, request: bytes) -> tuple[int, str, dict]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.getheader("content-type") or "", json.loads(answer.read())


def test_a_required_gpu_that_is_missing_ends_the_server_and_auto_serves_without_it(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "one")
    server = serve("loans", workers=2, ready=False, SLIPWAY_DEVICE="gpu", CUDA_VISIBLE_DEVICES="")
    server.process.wait(60)
    output = server.log.read_text()
    assert "a GPU was asked for" in output
    assert "onnxruntime-gpu" in output or "slipway doctor" in output, "what is missing"
    with pytest.raises(ConnectionRefusedError):
        server.get("/livez")
    server = serve("loans", SLIPWAY_DEVICE="auto", CUDA_VISIBLE_DEVICES="")
    assert json.loads(server.get("/v1/model")[1])["device"] == "cpu"
    server.wait_for_metric(1, "slipway_model_info", device="cpu")
    assert server.predict("loans", **ROW)[0] == 200


def test_an_address_that_bypasses_the_settings_is_detected(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "one")
    server = serve("loans", ready=False, BENTOML_HOST="0.0.0.0")
    server.process.wait(60)
    assert "No credentials are configured" in server.log.read_text()


@pytest.mark.slow
def test_wrong_settings_end_it_before_a_port_is_open(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "import bentos.service"],
        cwd=ROOT,
        env={**os.environ, "BENTOML_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "SLIPWAY_SERVE names no use case" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        ({"SLIPWAY_CONTAINER": "true"}, 78, "SLIPWAY_INSECURE=true"),
        ({"SLIPWAY_HOSST": "x"}, 1, "Did you mean 'SLIPWAY_HOST'?"),
        ({"SLIPWAY_BUNDLE": "nowhere"}, 1, "holds no manifest"),
    ],
)
def test_wrong_settings_are_one_line(refused_settings, environment, code, message):
    found, output = refused_settings(**environment)
    assert found == code and message in output
    assert output.startswith("error: ") and "Traceback" not in output
