"""Rate limits that all workers share, and their fallback while Redis is away."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bentos.auth.rate_limits import ROWS, FixedWindowCounter, Limit, WindowCount
from bentos.auth.redis_rate_limits import REDIS_SECONDS, RETRY_SECONDS, RedisWindowCounter
from tests.bentos.auth.credentials import bearer, predict
from tests.support.servers import free_port


@pytest.fixture
def redis(needs, tmp_path):
    """The URL of a Redis of this test."""
    port = free_port()
    command = [needs("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path]
    with (tmp_path / "redis.log").open("wb") as log, subprocess.Popen(command, stdout=log) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
        process.terminate()


def hits(shared, limit, times, at=None):
    async def each():
        return [await one.hit(limit, at or time.monotonic()) for one in shared for _ in range(times)]

    return asyncio.run(each())


def test_no_response_says_that_a_window_lasts_longer_than_it_is():
    """The end of a window minus the time is a difference of floats."""
    assert b"ratelimit-reset: 3600\r\n" in WindowCount(Limit.of("2/hour", "ann"), 1, 3600.0000000005).lines


def test_two_workers_count_together_in_redis(redis):
    limit, workers = Limit.of("5/minute", "ann"), [RedisWindowCounter(redis, FixedWindowCounter()) for _ in range(2)]
    counts = hits(workers, limit, 4)
    assert [count.used for count in counts] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(55 < count.reset <= 61 for count in counts)


def test_an_absent_redis_is_logged_once_and_requests_are_counted_locally(caplog):
    shared, limit = (
        RedisWindowCounter(f"redis://127.0.0.1:{free_port()}", FixedWindowCounter()),
        Limit.of("5/minute", "ann"),
    )
    assert [count.used for count in hits([shared], limit, 5)] == [1, 2, 3, 4, 5]
    assert len([record for record in caplog.records if "each worker counts by itself" in record.message]) == 1


def test_a_redis_that_hangs_delays_one_request_briefly():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shared = RedisWindowCounter(f"redis://127.0.0.1:{silent.getsockname()[1]}", FixedWindowCounter())
        started = time.monotonic()
        counts = hits([shared], Limit.of("5/minute", "ann"), 3)
    assert [count.used for count in counts] == [1, 2, 3]
    assert time.monotonic() - started < 3 * REDIS_SECONDS


def test_predictions_go_on_and_are_limited_while_redis_is_away(start_client, key, monkeypatch):
    monkeypatch.setenv("SLIPWAY_REDIS_URL", f"redis://:secret@127.0.0.1:{free_port()}")
    secret, client = key("ci", "predict", rate="2/minute"), start_client()
    assert [predict(client, **bearer(secret)).status for _ in range(3)] == [200, 200, 429]


def test_redis_is_used_again_when_it_is_back(redis, caplog):
    caplog.set_level("INFO", "slipway.serving")
    limit, now = Limit.of("5/minute", "ann"), time.monotonic()
    shared = RedisWindowCounter(redis, FixedWindowCounter())
    shared._retry_at = now + 4
    assert hits([shared], limit, 1, now)[0].used == 1
    assert hits([shared], limit, 1, now + 5)[0].used == 1, "the first in Redis"
    assert "Redis answers again" in caplog.text


def test_ended_windows_are_forgotten(monkeypatch):
    monkeypatch.setattr("bentos.auth.rate_limits.MAX_WINDOWS", 10)
    windows = FixedWindowCounter()
    for number in range(50):
        windows.hit(Limit.of("5/second", str(number)), now=float(number))
    assert len(windows._windows) <= 11


LIES = {
    "another type": b"+OK\r\n",
    "nothing": b"$-1\r\n",
    "a list": b"*1\r\n:1\r\n",
    "a text": b"$3\r\nabc\r\n",
    "a negative number": b":-5\r\n",
    "zero": b":0\r\n",
    "an error": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "an error of many lines": b"-ERR " + b"x" * 100_000 + b"\r\n",
    "another protocol": b"HTTP/1.1 200 OK\r\n\r\n",
    "what is no UTF-8": b"+\xff\xfe\r\n",
    "a length that nobody has": b"$99999999999999\r\nx",
    "half of a number": b":1",
    "deep nesting": b"*1\r\n" * 5000,
    "the end of the connection": b"",
}


@contextmanager
def lying(answer: bytes, delay: float = 0.0) -> Iterator[str]:
    """A Redis that answers each script with the same bytes, and everything else with OK; yields its URL."""

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            while data := connection.recv(65536):
                for command in re.split(rb"(?:^|(?<=\n))\*\d+\r\n", data)[1:]:
                    if b"EVAL" not in command.upper():
                        connection.sendall(b"+OK\r\n")
                        continue
                    time.sleep(delay)
                    if not answer:
                        return
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("lie", LIES)
def test_a_redis_that_answers_no_count_costs_no_request(lie, caplog):
    with lying(LIES[lie]) as url:
        shared = RedisWindowCounter(url, FixedWindowCounter())
        counts = hits([shared], Limit.of("2/minute", "ann"), 3, time.monotonic())
    assert [count.used for count in counts] == [1, 2, 3]
    (record,) = caplog.records
    assert "each worker counts by itself" in record.message and len(record.message) < 500
    assert record.message.isprintable()


def test_a_redis_is_asked_again_after_a_while_whatever_the_wall_clock_says(redis, monkeypatch):
    limit, now = Limit.of("5/minute", "ann"), time.monotonic()
    shared = RedisWindowCounter(redis, FixedWindowCounter())
    shared._retry_at = now + RETRY_SECONDS
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert [count.used for count in hits([shared], limit, 2, now)] == [1, 2]
    assert hits([shared], limit, 1, now + RETRY_SECONDS)[0].used == 1


def test_an_answer_that_comes_too_late_is_no_other_callers_count():
    """Cut off the connection of a count that was given up: its answer would be read as that of the next one."""
    with lying(b":77\r\n", delay=1.6 * REDIS_SECONDS) as url:
        shared, limit = RedisWindowCounter(url, FixedWindowCounter()), Limit.of("5/minute", "ann")

        async def twice() -> list[int]:
            first = await shared.hit(limit, 0.0)
            await asyncio.sleep(REDIS_SECONDS)
            return [first.used, (await shared.hit(Limit.of("5/minute", "bob"), 2 * RETRY_SECONDS)).used]

        assert asyncio.run(twice()) == [1, 1]


class TestRows:
    """Rows of requests, counted in Redis only where they fit."""

    def charges(self, shared: list[RedisWindowCounter], *numbers: int, at: float = 1000.0) -> list[tuple[int, bool]]:
        limit = Limit.of("10/minute", "ann", ROWS)

        async def each() -> list[tuple[int, bool]]:
            counts = [await shared[k % len(shared)].charge(limit, number, at) for k, number in enumerate(numbers)]
            assert all(count.reset <= 61 for count in counts)
            return [(count.used, count.refused) for count in counts]

        return asyncio.run(each())

    def test_workers_count_rows_together(self, redis):
        workers = [RedisWindowCounter(redis, FixedWindowCounter()) for _ in range(2)]
        assert self.charges(workers, 6, 5, 3, 2, 1, 1) == [
            (6, False),
            (6, True),
            (9, False),
            (9, True),
            (10, False),
            (10, True),
        ]

    def test_of_two_that_look_at_once_the_later_is_refused(self, redis):
        limit = Limit.of("10/minute", "ann", ROWS)
        workers = [RedisWindowCounter(redis, FixedWindowCounter()) for _ in range(2)]

        async def together() -> list[bool]:
            counts = await asyncio.gather(*(worker.charge(limit, 6, 1000.0) for worker in workers))
            return sorted(count.refused for count in counts)

        assert asyncio.run(together()) == [False, True]

    @pytest.mark.parametrize("lie", LIES)
    def test_a_redis_that_answers_no_count_costs_no_request_and_lifts_no_limit(self, lie):
        with lying(LIES[lie]) as url:
            shared = RedisWindowCounter(url, FixedWindowCounter())
            assert self.charges([shared], 6, 5, 4) == [(6, False), (6, True), (10, False)]
            assert shared._retry_at == 1000.0 + RETRY_SECONDS
