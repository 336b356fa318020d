"""Load generator of the cluster scenario: a pod of the serving image that runs this file with the standard library.

Requests begin at a fixed rate, independent of earlier ones. Each has its own key (PREFIX-NUMBER), so that the log can
be compared with the responses. Like usual clients it reuses connections for a while and retries to open one, but never
repeats a request that was sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0
USES = 20  # requests on one connection, so that new pods get their share soon
OPEN_SECONDS = 5.0
OPEN_AGAIN_SECONDS = 0.05
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter, int]


class Load:
    """One run of the load; `result()` has the outcome of each request."""

    def __init__(self, url: str, usecase: str, prefix: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = f"/v1/models/{usecase}"
        self._prefix = prefix
        self._idle: list[Connection] = []
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {os.environ['SLIPWAY_API_KEY']}\r\n"
        self._failed: dict[int, str] = {}
        self._seconds: list[float] = []
        self._versions: Counter[str] = Counter()
        self._opened_again = 0
        self._sent = 0

    async def run(self, rate: float, stop: Path) -> None:
        """Send requests until the file `stop` exists, then wait for those under way."""
        example = json.loads(await self._exchange("GET", f"{self._path}/schema", b""))["examples"][0]
        tasks = set()
        started = time.monotonic()
        while not stop.exists():
            await asyncio.sleep(max(0.0, started + self._sent / rate - time.monotonic()))
            task = asyncio.create_task(self._predict(self._sent, example))
            self._sent += 1
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    def result(self) -> dict[str, object]:
        """Return the outcome as a JSON document."""
        times = sorted(self._seconds) or [0.0]
        return {
            "prefix": self._prefix,
            "sent": self._sent,
            "failed": self._failed,
            "versions": self._versions,
            "opened_again": self._opened_again,
            "p50_ms": round(1e3 * times[len(times) // 2], 1),
            "p99_ms": round(1e3 * times[int(len(times) * 0.99)], 1),
        }

    async def _predict(self, number: int, example: object) -> None:
        body = json.dumps({"instances": [example], "keys": [f"{self._prefix}-{number}"]}).encode()
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = json.loads(await self._exchange("POST", f"{self._path}/predict", body))
            self._versions[response["model"]["version"]] += 1
            self._seconds.append(time.monotonic() - started)
        except Exception as error:  # any error is a failed request, recorded with its reason
            self._failed[number] = f"{type(error).__name__}: {error}"

    async def _exchange(self, method: str, path: str, body: bytes) -> bytes:
        """Exchange one request and return the body of the response; raises unless it is 200."""
        reader, writer, uses = self._idle_connection() or await self._open()
        try:
            length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{length}".encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            content = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection") == "close" or uses + 1 >= USES:
            writer.close()
        else:
            self._idle.append((reader, writer, uses + 1))
        status = head.split(" ", 2)[1]
        if status != "200":
            raise RuntimeError(f"{status} {content[:300].decode(errors='replace')}")
        return content

    def _idle_connection(self) -> Connection | None:
        """Take an idle connection that the server has not closed meanwhile."""
        while self._idle:
            reader, writer, uses = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None and not writer.is_closing():
                return reader, writer, uses
            writer.close()
        return None

    async def _open(self) -> Connection:
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                return (*await asyncio.open_connection(self._host, self._port), 0)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                self._opened_again += 1
                await asyncio.sleep(OPEN_AGAIN_SECONDS)


if __name__ == "__main__":
    url, usecase, prefix, rate, stop = sys.argv[1:]
    load = Load(url, usecase, prefix)
    asyncio.run(load.run(float(rate), Path(stop)))
    sys.stdout.write(json.dumps(load.result()) + "\n")
