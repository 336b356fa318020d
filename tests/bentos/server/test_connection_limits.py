"""What a client without a credential can hold: requests under way, unread responses, connections and descriptors."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import uvloop
from uvicorn.server import ServerState

from bentos.fast_path.header_cache import HeaderCache
from bentos.fast_path.micro_batch import STATE_KEY as MICRO_BATCH
from bentos.fast_path.protocol import FastPathProtocol
from bentos.server import connection_limits
from bentos.server.connection_limits import MOST_PIPELINED
from bentos.server.protocol import HardenedProtocol
from bentos.telemetry.metrics import metrics
from slipway import api_keys
from slipway.settings import Settings, settings
from slipway.system import descriptors
from tests.bentos.fast_path import raw_requests
from tests.bentos.server.processes import Server, logged_ids
from tests.bentos.server.wire import Transport, connect, sent, statuses, unconnected
from tests.support import bundles

ROW = bundles.ROWS["loans"][0]
GET = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"POST /v1/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


async def answer_ok(scope: dict, receive: Any, send: Any, body: bytes = b"ok") -> None:
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def answer_after_reading(scope: dict, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await answer_ok(scope, receive, send)


def run(scenario: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario())


@pytest.mark.parametrize(
    "request_", [GET, POST, CHUNKED, b"GET / HTTP/1.1\r\n\r\n"], ids=["get", "post", "chunks", "/"]
)
def test_a_connection_has_at_most_sixteen_requests_under_way_whatever_is_pipelined(request_: bytes) -> None:
    async def scenario() -> tuple[int, HardenedProtocol]:
        protocol = connect(answer_after_reading)
        for _ in range(4):  # reads of 256 kB, as uvloop's are
            protocol.data_received(request_ * ((256 << 10) // len(request_)))
        held = len(protocol.pipeline) + 1
        for _ in range(200):
            await asyncio.sleep(0)
        protocol.data_received(GET)
        await asyncio.sleep(0.01)
        return held, protocol

    held, protocol = run(scenario)
    assert held == MOST_PIPELINED
    assert statuses(protocol) == [200] * MOST_PIPELINED
    assert sent(protocol).count(b"connection: close") == 1, "the last response says that the rest must be sent again"
    assert protocol.transport.is_closing()


@pytest.mark.parametrize("number", [1, 2, MOST_PIPELINED - 1, MOST_PIPELINED])
def test_a_pipeline_within_the_limit_is_answered_and_the_connection_stays(number: int) -> None:
    async def scenario() -> HardenedProtocol:
        protocol = connect(answer_ok)
        for _ in range(3):
            protocol.data_received(GET * number)
            await asyncio.sleep(0.02)
        return protocol

    protocol = run(scenario)
    assert statuses(protocol) == [200] * (3 * number)
    assert not protocol.transport.is_closing()


def test_a_long_head_after_a_full_pipeline_is_not_answered_before_the_pipeline() -> None:
    async def scenario() -> HardenedProtocol:
        protocol = connect(answer_ok)
        protocol.data_received(GET * MOST_PIPELINED + b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n")
        await asyncio.sleep(0.02)
        return protocol

    assert statuses(run(scenario)) == [200] * MOST_PIPELINED


class ClosedTransport(Transport):
    """A transport as uvloop's: nothing can be written once it is closed."""

    def write(self, data: Any) -> None:
        if self.closing:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
        super().write(data)


@pytest.mark.parametrize("pipelined", [1, 2, 5, MOST_PIPELINED])
@pytest.mark.parametrize("answered", [0, 1, 3])
def test_a_client_that_leaves_ends_the_request_that_is_being_answered_whatever_it_pipelined(
    pipelined: int, answered: int, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn told the last request of a pipeline alone: the first wrote a stack trace into the log, for anybody."""
    begun, gone = [], []

    async def answer_until_left(scope: dict, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        if len(begun) > answered:
            await receive()
            gone.append((await receive())["type"])
        await answer_ok(scope, receive, send)

    async def scenario() -> None:
        protocol = connect(answer_until_left, ClosedTransport())
        protocol.data_received(GET * pipelined)
        await asyncio.sleep(0.01)
        protocol.transport.close()
        protocol.connection_lost(ConnectionResetError())
        await asyncio.sleep(0.01)

    run(scenario)
    assert gone == ["http.disconnect"] * (answered < pipelined)
    assert len(begun) == min(answered + 1, pipelined), "the others are not begun"
    assert "Traceback" not in caplog.text


def watched(transport: Transport, requests: bytes, seconds: float = 0.2, read: int = 0) -> Transport:
    """Send the requests, have the client read so many bytes every tenth of the time, and wait for four times that."""

    async def scenario() -> None:
        protocol = connect(answer_ok, transport, seconds=seconds)
        protocol.data_received(requests)
        for _ in range(40):
            await asyncio.sleep(seconds / 10)
            transport.readable += read

    run(scenario)
    return transport


def test_a_client_that_does_not_read_its_responses_is_cut_off() -> None:
    assert watched(Transport(readable=0), GET * 3).aborted


@pytest.mark.parametrize(
    "requests",
    [GET.replace(b"host", b"connection: close\r\nhost"), b"no HTTP\r\n\r\n", GET * 100],
    ids=["close is asked for", "a refusal", "too many requests"],
)
def test_a_connection_that_the_server_closed_is_cut_off_if_its_last_bytes_stay_unread(requests: bytes) -> None:
    assert watched(Transport(readable=0), requests).aborted


def test_a_client_that_reads_a_byte_now_and_then_is_cut_off() -> None:
    assert watched(Transport(readable=0), GET * 3, read=1).aborted


def test_a_client_that_reads_is_not_cut_off() -> None:
    assert not watched(Transport(), GET * 3).aborted
    assert not watched(Transport(readable=50), GET * 3, read=100).aborted


def test_a_stalled_reader_loses_its_connection_and_the_response_ends() -> None:
    """Over a real socket, with the buffers of the kernel and of uvloop."""
    ended = []

    async def answer_large(scope: dict, receive: Any, send: Any) -> None:
        try:
            await answer_ok(scope, receive, send, b"x" * (16 << 20))
        finally:
            ended.append(scope["path"])

    async def scenario() -> tuple[int, int]:
        state, loop = ServerState(), asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = await loop.create_server(
                lambda: unconnected(answer_large, seconds=0.3, server=state), sock=listening
            )
            with socket.create_connection(listening.getsockname()) as client:
                client.sendall(GET * 5)
                await asyncio.sleep(0.1)
                during = len(state.connections)
                await asyncio.sleep(0.9)
            server.close()
        return during, len(state.connections)

    assert run(scenario) == (1, 0)
    assert len(ended) == 2, "one was written, one waited for it, and the others were never begun"


def test_a_connection_above_the_limit_is_refused_with_503_and_one_that_ends_makes_room() -> None:
    async def scenario() -> list[HardenedProtocol]:
        server = ServerState()
        made = [connect(answer_ok, connections=3, server=server) for _ in range(5)]
        made[0].connection_lost(None)
        made[3].connection_lost(None)
        made[4].connection_lost(None)
        made.append(connect(answer_ok, connections=3, server=server))
        made[5].data_received(GET)
        await asyncio.sleep(0.01)
        return made

    made = run(scenario)
    assert [statuses(protocol) for protocol in made] == [[], [], [], [503], [503], [200]]
    problem = json.loads(sent(made[3]).partition(b"\r\n\r\n")[2])
    assert "SLIPWAY_MAX_CONNECTIONS" in problem["detail"]
    assert made[3].transport.is_closing()


async def idle_closed_after(
    *, idle: float, others: int = 0, connections: int = 8, protocol: Any = None, **state: Any
) -> float:
    """Make a request, and return the seconds until the server closes the connection; 1.0 if it did not in that time."""
    server, made = ServerState(), {} if protocol is None else {"protocol": protocol}
    watched = connect(answer_ok, idle=idle, connections=connections, server=server, **made, **state)
    for _ in range(others):
        connect(answer_ok, connections=connections, server=server)
    watched.data_received(GET)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    started = loop.time()
    while not watched.transport.is_closing() and loop.time() - started < 1.0:
        await asyncio.sleep(0.005)
    assert statuses(watched) == [200]
    return loop.time() - started


@pytest.mark.parametrize("protocol", [HardenedProtocol, FastPathProtocol])
def test_an_idle_connection_lives_as_long_as_the_setting_says(protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A balancer that keeps connections for 60 s meets none that the server closes at that moment."""
    monkeypatch.setattr("bentos.server.protocol.IDLE_IN_A_CROWD", 0.04)
    state = {} if protocol is HardenedProtocol else {MICRO_BATCH: SimpleNamespace(usecases={}, headers=HeaderCache())}
    for seconds in (0.02, 0.3):
        closed = run(lambda seconds=seconds: idle_closed_after(idle=seconds, protocol=protocol, **state))
        assert seconds - 0.005 <= closed < seconds + 0.2


def test_idle_connections_are_closed_sooner_where_more_than_half_of_them_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So strangers that send one request and wait hold half of the connections at most, and the others as ever."""
    monkeypatch.setattr("bentos.server.protocol.IDLE_IN_A_CROWD", 0.04)
    assert run(lambda: idle_closed_after(idle=60.0, others=4)) < 0.3
    assert run(lambda: idle_closed_after(idle=60.0, others=3)) == pytest.approx(1.0, abs=0.2)


def test_idle_connections_live_75_seconds_unless_a_setting_says_otherwise() -> None:
    assert connection_limits.connection_limits(Settings(), metrics()).idle_seconds == 75.0
    assert connection_limits.connection_limits(Settings(keep_alive_seconds=620), metrics()).idle_seconds == 620.0


@pytest.mark.parametrize(
    ("limit", "configured", "expected"),
    [(65536, 1024, 1024), (1024, 1024, 1024 - 50 - 128), (256, 1024, 256 - 50 - 64), (60, 1024, 1), (65536, 7, 7)],
)
def test_connections_leave_descriptors_for_the_log_and_the_key_file(
    monkeypatch: pytest.MonkeyPatch, limit: int, configured: int, expected: int
) -> None:
    monkeypatch.setattr(descriptors, "raise_limit", lambda: (limit, limit))
    monkeypatch.setattr(descriptors, "count_open", lambda: 50)
    found = connection_limits.connection_limits(Settings(max_connections=configured), metrics())
    assert found.connections == expected


def test_the_limits_are_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(descriptors, "raise_limit", lambda: (256, 512))
    monkeypatch.setattr(descriptors, "count_open", lambda: 50)
    with caplog.at_level("INFO", "slipway.serving"):
        connection_limits.connection_limits(Settings(), metrics())
    assert "512 file descriptors (256 before), at most 334 connections." in caplog.text
    assert "SLIPWAY_MAX_CONNECTIONS=1024 does not fit into 512 file descriptors" in caplog.text


class SmallServer(Server):
    """A server with 256 file descriptors a process."""

    command = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", *Server.command]


@pytest.mark.slow
def test_strangers_that_use_up_connections_cost_neither_memory_nor_a_line_of_the_log(
    var: Path, tmp_path: Path, key: Callable[..., str]
) -> None:
    """Hold more connections than there are descriptors, each with pipelined requests whose responses stay unread."""
    secret, requests = key("one", "predict"), GET.replace(b"/livez", b"/page/page.css") * 1000
    bundles.promote(var, tmp_path / "loans")
    with SmallServer(var, ("loans",), SLIPWAY_SEGMENT_SECONDS="0.1", SLIPWAY_MAX_RECEIVE_SECONDS="2") as server:
        worker = psutil.Process(server.workers()[0])
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as known, ExitStack() as strangers:

            def predict() -> int:
                known.sendall(raw_requests.request(ROW, more=f"x-api-key: {secret}\r\n"))
                return raw_requests.answers(known, 1)[0][0]

            assert predict() == 200
            before = worker.memory_info().rss
            for _ in range(300):
                stranger = strangers.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
                with suppress(OSError):
                    stranger.sendall(requests)
            found = []
            for _ in range(10):
                found.append(predict())
                time.sleep(0.1)
            assert found == [200] * 10
            assert worker.memory_info().rss - before < 100 << 20
            assert worker.num_fds() < 256 - 32, "half of the reserve is still there"
            api_keys.revoke(settings().key_file, "one")
            time.sleep(1)
            assert predict() == 401
            server.wait_for(lambda: len(worker.net_connections()) < 10, 10)
        assert "256 file descriptors" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()
    assert sum(logged_ids(var).values()) == 11
