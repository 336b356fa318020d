"""Requests over capacity are refused at once, admitted ones are answered in time; slow clients delay no other."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bentos.errors import Late, Unavailable
from bentos.executor.admission import PERIOD, AdmissionController, EventLoopLag
from bentos.executor.deadline import DeadlineJob
from bentos.executor.worker_pool import THREADS
from bentos.prediction.types import PredictionCall
from slipway.settings import Settings
from tests.bentos.fast_path.connection import BODY, PATH, ROW, Connection, until
from tests.bentos.server.processes import Load, Server, logged_ids
from tests.support import bundles


@pytest.fixture
def blocked(start_client, monkeypatch):
    """Start a worker whose model answers only when released: (client, release)."""
    client = start_client(serving={"deadline_ms": 2000})
    live = client.worker.served["loans"].live
    live.inline_bytes = -1
    release = threading.Event()
    run = live.predictor.run
    monkeypatch.setattr(live.predictor, "run", lambda feeds: release.wait(10) and run(feeds))
    yield client, release
    release.set()


@pytest.mark.alone
def test_beyond_the_queue_requests_are_refused_at_once_and_queued_ones_answered(blocked):
    client, release = blocked
    admission = client.worker.admission
    admission._max_waiting = 5

    async def scenario() -> None:
        waiting = [asyncio.create_task(Connection(client).answered()) for _ in range(5)]
        await until(lambda: admission.admitted == 5)
        assert client.metric("slipway_requests_in_flight", usecase="loans") == 5
        more = Connection(client)
        began = time.monotonic()
        assert await more.answered() == 503
        assert time.monotonic() - began < 0.5
        assert (b"retry-after", b"1") in more.sent[0]["headers"]
        assert json.loads(more.sent[1]["body"])["title"] == "Service Unavailable"
        release.set()
        assert await asyncio.gather(*waiting) == [200] * 5
        await until(lambda: (admission.admitted, admission.bytes) == (0, 0))

    before = client.metric("slipway_requests_shed_total", usecase="loans", reason="full")
    asyncio.run(scenario())
    assert client.metric("slipway_requests_shed_total", usecase="loans", reason="full") == before + 1
    assert client.metric("slipway_requests_in_flight", usecase="loans") == 0
    assert len(client.events()) == 5


@pytest.mark.alone
def test_a_client_that_goes_away_frees_its_ticket(blocked):
    client, release = blocked
    admission = client.worker.admission

    async def scenario() -> None:
        running = [asyncio.create_task(Connection(client).answered()) for _ in range(THREADS)]
        await until(lambda: admission.admitted == THREADS)
        leaving = [Connection(client) for _ in range(3)]
        tasks = [asyncio.create_task(connection.answered()) for connection in leaving]
        await until(lambda: admission.admitted == THREADS + 3)
        for connection in leaving:
            connection.gone.set()
        assert await asyncio.gather(*tasks) == [None] * 3
        assert admission.admitted == THREADS and admission.bytes == THREADS * len(BODY)
        release.set()
        assert await asyncio.gather(*running) == [200] * THREADS

    asyncio.run(scenario())
    assert len(client.events()) == THREADS, "what nobody waited for was not run"


@pytest.mark.alone
def test_threads_that_hang_are_not_waited_for_and_come_back(blocked):
    client, release = blocked
    admission = client.worker.admission
    client.worker.served["loans"].live.deadline = 0.1

    async def scenario() -> None:
        assert await asyncio.gather(*(Connection(client).answered() for _ in range(THREADS))) == [503] * THREADS
        began = time.monotonic()
        assert await Connection(client).answered() == 503
        assert time.monotonic() - began < 0.08, "at once, not after the deadline"
        release.set()
        await until(lambda: admission.admitted == 0)
        assert await Connection(client).answered() == 200

    asyncio.run(scenario())


@pytest.mark.alone
def test_a_body_in_parts_reserves_capacity_and_releases_it(blocked):
    client, release = blocked
    admission = client.worker.admission
    admission._max_bytes = 100
    release.set()

    async def scenario() -> None:
        assert await Connection(client, BODY[:10], BODY[10:], b" ").answered() == 200
        await until(lambda: admission.bytes == 0)
        assert await Connection(client, BODY, b" " * 100, b" " * 100).answered() == 503
        assert (admission.admitted, admission.bytes) == (0, 0)

    asyncio.run(scenario())


class Work:
    """Stand-in for a request, which signals when it is done."""

    def __init__(self, model: object = None) -> None:
        self.model = model
        self.done = threading.Event()
        self.others = 0

    def run(self, another: Any) -> None:
        while (other := another()) is not None:
            self.others += 1
            other.done.set()
        self.done.set()


class Holding(Work):
    def run(self, another: Any) -> None:
        self.done.wait(10)


@pytest.mark.alone
class TestAdmissionController:
    @pytest.fixture
    def admission(self, start_client):
        made = AdmissionController(Settings(), start_client(bundles.TABULAR).worker.metrics)
        yield made
        made.close()

    def test_a_request_that_would_be_late_is_refused_before_it_waits(self, admission):
        admission._means["loans"] = 0.1
        taken = [admission.admit("loans", 1, deadline=1.0) for _ in range(7)]
        with pytest.raises(Unavailable, match="deadline"):
            taken += [admission.admit("loans", 1, deadline=1.0) for _ in range(3)]
        admission.admit("prices", 1, deadline=5.0)
        for ticket in taken:
            ticket.submit(Work())

    def test_an_outdated_mean_blocks_no_request(self, admission):
        admission._means["loans"] = 100.0
        for _ in range(40):
            ticket = admission.admit("loans", 1, deadline=1.0)
            work = Work()
            ticket.submit(work)
            assert work.done.wait(10)
            while admission.admitted:
                time.sleep(0.001)
        assert admission._means["loans"] < 2

    def test_one_stalled_request_blocks_no_other(self, admission):
        admission._learn("loans", 1.0)  # the first, which nothing is known before
        for _ in range(50):
            admission._learn("loans", 0.002)
        admission._learn("loans", 5.0)
        assert admission._means["loans"] < 0.005
        for _ in range(20):
            admission._learn("loans", 5.0)
        assert admission._means["loans"] > 1, "all that came after it were slow, too"

    def test_work_that_fails_leaves_its_thread_alive(self, admission):
        class Failing(Work):
            def run(self, another: Any) -> None:
                raise RuntimeError("not caught where it should have been")

        for _ in range(2 * THREADS):
            admission.admit("loans", 1, deadline=1.0).submit(Failing())
        work = Work()
        admission.admit("loans", 1, deadline=1.0).submit(work)
        assert work.done.wait(10)

    def test_a_thread_gets_more_of_the_same_model_and_nothing_of_others(self, admission):
        holding = [Holding() for _ in range(THREADS)]
        works = [Work(model) for model in ("old", "old", "new", "old", "new")]
        for work in (*holding, *works):
            admission.admit("loans", 1, deadline=1.0).submit(work)
        holding[0].done.set()  # one thread, so that the assignment is deterministic
        assert all(work.done.wait(10) for work in works)
        assert sorted(work.others for work in works) == [0, 0, 0, 1, 2]
        for work in holding:
            work.done.set()

    def test_event_loop_lag_counts_towards_the_deadline(self, admission):
        admission.lag.update(0.3)
        assert admission.thread_seconds(2.0) == pytest.approx(1.4)
        assert admission.thread_seconds(0.4) == pytest.approx(0.2), "however busy, there is something left"
        taken = [admission.admit("loans", 1, deadline=1.0) for _ in range(THREADS)]
        with pytest.raises(Unavailable, match="deadline"):
            admission.admit("loans", 1, deadline=1.0)
        taken.append(admission.admit("loans", 1, deadline=5.0))
        for ticket in taken:
            ticket.submit(Work())

    def test_a_thread_that_hangs_with_several_is_one_thread(self, admission):
        class Both(Holding):
            def run(self, another: Any) -> None:
                while another() is not None:
                    pass
                super().run(another)

        first = [Holding() for _ in range(THREADS)]
        several = [Both("model") for _ in range(3)]
        taken = [admission.admit("loans", 1, deadline=1.0) for _ in range(THREADS + 3)]
        for ticket, work in zip(taken, (*first, *several), strict=True):
            ticket.submit(work)
        first[0].done.set()
        while not all(ticket.batch for ticket in taken):
            time.sleep(0.001)
        assert len({ticket.batch for ticket in taken[THREADS:]}) == 1
        for ticket in taken[THREADS:]:
            ticket.abandon(late=True)
        more = Work()
        admission.admit("loans", 1, deadline=1.0).submit(more)
        first[1].done.set()
        assert more.done.wait(10), "the other thread goes on"
        several[0].done.set()


@pytest.mark.alone
def test_a_blocked_event_loop_is_noticed_and_forgotten():
    lag = EventLoopLag()

    async def scenario() -> None:
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(PERIOD)
        time.sleep(0.3)
        await asyncio.sleep(PERIOD)
        assert lag.seconds > 0.2
        watching.cancel()

    asyncio.run(scenario())
    for _ in range(100):
        lag.update(0.0)
    assert lag.seconds < 0.001


@pytest.mark.alone
def test_an_answer_after_the_deadline_is_discarded_even_if_the_timer_is_late():
    async def scenario() -> None:
        live: Any = SimpleNamespace(usecase="loans", version="1", deadline=0.05)
        job = DeadlineJob(PredictionCall(None, live, None, b"", 0), 0.05)
        time.sleep(0.1)  # the event loop is busy, so no timer is called
        assert not job.is_awaited() and not job.call.claim() and not job.answered
        with pytest.raises(Late):
            await job.outcome()

    asyncio.run(scenario())


def test_ten_thousand_unknown_paths_make_no_new_series(start_client):
    client = start_client()

    def series() -> int:
        return sum(len(metric.samples) for metric in client.worker.metrics.registry.collect())

    async def send(numbers: range) -> None:
        for number in numbers:
            path = (f"/{number}", f"/v1/models/{number}/predict", f"/v1/models/loans/{number}", f"/page/{number}")
            await client._call("GET", path[number % 4], b"", {})

    asyncio.run(send(range(4)))
    before = series()
    asyncio.run(send(range(4, 10_004)))
    assert series() == before


@pytest.mark.slow
@pytest.mark.parametrize("inline_bytes", [1 << 20, -1], ids=["on the event loop", "in threads"])
def test_memory_is_flat(start_client, inline_bytes: int) -> None:
    client = start_client()
    client.worker.served["loans"].live.inline_bytes = inline_bytes

    async def send(times: int) -> int:
        for _ in range(times):
            assert await Connection(client).answered() == 200
        gc.collect()
        return psutil.Process().memory_info().rss

    async def scenario() -> int:
        before = await send(2_000)
        return await send(8_000) - before

    assert asyncio.run(scenario()) < 2 << 20, "a kilobyte kept of each request would be eight megabytes"


class Flood:
    """Connections that send again at once, each answer with its time."""

    def __init__(self, server: Server, connections: int, seconds: float) -> None:
        self.answers: list[tuple[int, float]] = []
        self.ids: list[str] = []
        self._server, self._until = server, time.monotonic() + seconds
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(self._send_requests, range(connections)))

    def times(self, status: int) -> list[float]:
        return sorted(seconds for found, seconds in self.answers if found == status)

    def _send_requests(self, _: int) -> None:
        request = (
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        )
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=30) as connection:
            file = connection.makefile("rb")
            while time.monotonic() < self._until:
                began = time.monotonic()
                connection.sendall(request % (PATH.encode(), len(BODY), BODY))
                status, content = answer(file)
                self.answers.append((status, time.monotonic() - began))
                if status == 200:
                    self.ids.append(content["predictions"][0]["id"])
                else:
                    time.sleep(0.05)


def answer(file: Any) -> tuple[int, Any]:
    """Read status and content of the next answer on a connection."""
    status = int(file.readline().split()[1])
    length = 0
    while (line := file.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, json.loads(file.read(length))


@pytest.mark.alone
def test_a_slow_model_far_over_its_capacity_answers_in_time_or_not_at_all(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans", slow=160, serving={"deadline_ms": 300})
    server = serve("loans", SLIPWAY_BATCHING="off")  # in batches it gets all of this flood done
    alone = Flood(server, THREADS, 2)
    over = Flood(server, 60, 3)
    assert {status for status, _ in over.answers} == {200, 503}, Counter(status for status, _ in over.answers)
    accepted = over.times(200)
    assert accepted[int(0.99 * len(accepted))] < 0.3 + 0.2, "the deadline, and what the flood on the same cores adds"
    assert len(accepted) / 3 > 0.5 * len(alone.times(200)) / 2, "on two cores that the flood is on, too"
    assert statistics.median(over.times(503)) < 0.1
    assert server.get("/readyz")[0] == 200


@pytest.mark.alone
def test_slow_senders_are_cut_off_and_others_are_served(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans")
    server = serve("loans", SLIPWAY_MAX_RECEIVE_SECONDS="1")
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % PATH.encode()
    started = {
        "half a head": head,
        "no body": head + b"content-length: 100\r\n\r\n",
        "a body that is shorter than its length": head + b"content-length: 1000\r\n\r\n" + BODY,
        "chunks without an end": head + b'transfer-encoding: chunked\r\n\r\n5\r\n{"ins\r\n',
        "half of a second head": b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "nothing": b"",
    }
    with Load(server, "loans", ROW, rate=50) as load:
        connections = {name: socket.create_connection(("127.0.0.1", server.port), timeout=10) for name in started}
        began = time.monotonic()
        for name, connection in connections.items():
            connection.sendall(started[name])
        time.sleep(0.2)
        connections["half of a second head"].sendall(head)
        ends = {name: connection.makefile("rb").read() for name, connection in connections.items()}
        assert time.monotonic() - began < 4
    for name, answer in ends.items():
        if name != "nothing":
            assert b"HTTP/1.1 408 Request Timeout" in answer, name
            assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["status"] == 408
    assert ends["nothing"] == b"" and ends["half of a second head"].startswith(b"HTTP/1.1 200")
    assert not load.failed and not load.broken and len(load.answered) > 20
    server.wait_for_metric(5, "slipway_requests_shed_total", reason="slow")


@pytest.mark.alone
def test_sigterm_under_load_drops_nothing_and_ends_in_time(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans", slow=40)
    server = serve("loans", workers=2, SLIPWAY_MAX_RECEIVE_SECONDS="2", SLIPWAY_DRAIN_SECONDS="1")
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.sendall(
        b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        % PATH.encode()
    )
    with Load(server, "loans", ROW, rate=200, connections=8) as load:
        time.sleep(2)
        before = len(load.ids)
        server.process.terminate()
        time.sleep(0.4)
        status, answer = server.get("/readyz")
        assert status == 503 and b"this server ends" in answer
    assert len(load.ids) > before > 50, "not ready, it still answers"
    assert not load.failed and not load.broken
    assert server.process.wait(15) == 0
    slow.close()
    assert logged_ids(var) == Counter(load.ids)
    assert list((var / "spool").rglob("*.open")) == []


def test_a_request_without_a_ticket_is_refused_alike_below_and_above_asgi(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans", slow=160, serving={"deadline_ms": 300})
    server = serve("loans", SLIPWAY_MAX_WAITING="1")
    headers: dict[str, set[str]] = {}
    for path in (PATH, PATH + "?by=asgi"):
        request = (
            b"POST %b HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(BODY), BODY)
        )
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(8)]
        for connection in connections:
            connection.sendall(request)
        refused = [head for head in map(_head, connections) if head[0].endswith(b" 503 Service Unavailable")]
        assert refused, path
        headers[path] = {line.partition(b":")[0].lower().decode() for line in refused[0][1:]}
    assert headers[PATH] == headers[PATH + "?by=asgi"]
    assert "retry-after" in headers[PATH]
    shed = float(
        server.get("/metrics")[1].split(b'slipway_requests_shed_total{reason="full",usecase="loans"} ')[1].split()[0]
    )
    assert shed >= 2


def _head(connection: socket.socket) -> list[bytes]:
    with connection:
        return connection.recv(65536).partition(b"\r\n\r\n")[0].split(b"\r\n")
