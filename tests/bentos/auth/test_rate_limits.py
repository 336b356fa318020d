"""Rate limits that all workers share, and their fallback while Redis is away."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time

import pytest

from bentos.auth.rate_limits import FixedWindowCounter, Limit
from bentos.auth.redis_rate_limits import REDIS_SECONDS, RedisWindowCounter
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
        return [await one.hit(limit, at or time.time()) for one in shared for _ in range(times)]

    return asyncio.run(each())


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
    limit, now = Limit.of("5/minute", "ann"), time.time()
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
