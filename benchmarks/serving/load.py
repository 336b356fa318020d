"""Load generator: keep-alive connections that repeat one request, closed-loop or at a rate.

`python -m benchmarks.serving.load` runs it on its own core and prints its result as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
LOOK_SECONDS = 0.01
LAST_ANSWERS = 0.05  # seconds to wait for what is under way at the end, and
LAST_PACED_ANSWERS = 2.0  # at most where requests come at a rate: those that wait longest must not go uncounted


@dataclass
class LoadResult:
    """Responses by status, and the seconds that each 200 took."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Connection with one request at a time; `done(connection)` follows each response.

    `closes`: the server keeps no connections.
    """

    closes = False

    def __init__(self, request: bytes, seen: LoadResult, done: Callable[[Connection], None]) -> None:
        self._request, self._seen, self._done = request, seen, done
        self._sent_at = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._received, 0, head)
        if length is None or len(self._received) < head + 4 + int(length.group(1)):
            return
        status = self._received[9:12].decode()
        self._seen.statuses[status] += 1
        if status == "200":
            self._seen.seconds.append(time.perf_counter() - self._sent_at)
        self.closes = self._received.startswith(b"HTTP/1.0")
        self._received = b""
        self._done(self)


async def run(
    port: int, request: bytes, seconds: float, connections: int, rate: float | None, requests: float = math.inf
) -> LoadResult:
    """Load for so many seconds, or until so many requests are answered: without a rate as much as the connections
    carry, else so many requests a second."""
    loop, seen = asyncio.get_running_loop(), LoadResult()
    idle: list[Connection] = []
    end = time.perf_counter() + seconds

    async def connect(done: Callable[[Connection], None]) -> Connection:
        return (await loop.create_connection(lambda: Connection(request, seen, done), "127.0.0.1", port))[1]

    async def start() -> None:
        (await connect(again)).send()

    def again(connection: Connection) -> None:
        if time.perf_counter() >= end:
            return
        if connection.closes:
            starting.append(loop.create_task(start()))
        else:
            connection.send()

    if rate is None:
        starting = [loop.create_task(start()) for _ in range(connections)]
        while time.perf_counter() < end and len(seen.seconds) < requests:
            await asyncio.sleep(LOOK_SECONDS)
        end = 0.0
    else:
        idle += [await connect(idle.append) for _ in range(connections)]
        await _paced(idle, rate, end)
        while len(idle) < connections and time.perf_counter() < end + LAST_PACED_ANSWERS:
            await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(LAST_ANSWERS)
    return seen


async def _paced(idle: list[Connection], rate: float, end: float) -> None:
    """A request whenever one is due; the generator has a core of its own and spins, for timers are coarse."""
    due = time.perf_counter()
    while (now := time.perf_counter()) < end:
        if now >= due and idle:
            idle.pop(0).send()
            due = max(due + 1 / rate, now - 0.05)
        await asyncio.sleep(0)


def http_request(path: str, body: bytes | None, key: str = "") -> bytes:
    """Build the bytes of a request."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"x-api-key: {key}"] if key else []
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def main() -> None:
    """Run the load generator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path, help="file with the bytes of the request")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--rate", type=float, help="requests a second, whether or not they are answered (default: as many as are)"
    )
    parser.add_argument("--requests", type=float, default=math.inf, help="end earlier, after so many")
    parser.add_argument("--core", type=int, help="the core to run on")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    request = options.request.read_bytes()
    seen = uvloop.run(run(options.port, request, options.seconds, options.connections, options.rate, options.requests))
    percentiles = np.percentile(seen.seconds, [50, 90, 99]).tolist() if seen.seconds else []
    found = {"rate": len(seen.seconds) / options.seconds, "statuses": seen.statuses, "percentiles": percentiles}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
