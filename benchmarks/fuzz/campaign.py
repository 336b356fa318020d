"""Fuzzing campaign: threads send adversarial requests and check every response, readiness and valid requests beside."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

from benchmarks.fuzz.requests import ANSWERED, Request, plain, request
from benchmarks.fuzz.target import SECONDS, Target, get, post
from bentos.server.connection_limits import MOST_PIPELINED

THREADS = 4
PATIENCE = 0.1  # seconds for an answer that need not come
EVERY = 50  # requests of a thread, after which a valid one must be answered, and the server ready
MOST_FAILURES = 20
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Answer(NamedTuple):
    """Response as read from the connection."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass
class Found:
    """Result of a campaign. `answers` counts (kind, outcome): the status of a response, None if there was none and none
    was required, or what became of another case.
    """

    seed: int
    answers: Counter[tuple[str, int | str | None]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def sent(self) -> int:
        """Return the number of cases: of the requests sent."""
        return sum(self.answers.values())

    def note(self, kind: str, outcome: int | str | None) -> None:
        with self.lock:
            self.answers[kind, outcome] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.failures.append(f"seed {self.seed}, {what}")

    def table(self) -> list[str]:
        """Format a line per kind with its outcomes."""
        kinds: dict[str, Counter[str]] = {}
        for (kind, outcome), count in self.answers.items():
            kinds.setdefault(kind, Counter())[str(outcome or "-")] += count
        return [
            f"{kind:30} {sum(by.values()):7}  " + ", ".join(f"{outcome}: {by[outcome]}" for outcome in sorted(by))
            for kind, by in sorted(kinds.items())
        ]


def run(target: Target, seed: int, count: int) -> Found:
    """Send the requests `0 … count - 1` of the seed."""
    found = Found(seed)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda first: _share(target, found, range(first, count, THREADS)), range(THREADS)))
    return found


def _share(target: Target, found: Found, numbers: range) -> None:
    for position, number in enumerate(numbers):
        if len(found.failures) >= MOST_FAILURES:
            return
        made = request(target, found.seed, number)
        for wrong in _sent(target, found, made):
            found.fail(f"request {number} ({made.kind}): {wrong}; sent {made.data[:200]!r}")
        if position % EVERY == EVERY - 1:
            for wrong in neighbours(target):
                found.fail(f"after request {number} ({made.kind}): {wrong}")


def neighbours(target: Target) -> list[str]:
    """Check that valid requests, each on its own connection, are answered."""
    status, body = get(target.port, "/readyz")
    wrong = [] if status == 200 else [f"/readyz answered {status} {body[:200]!r}"]
    for usecase in target.usecases:
        status, body = post(target.port, f"/v1/models/{usecase.name}/predict", {"instances": usecase.rows[:1]})
        if status != 200:
            wrong.append(f"a valid request was answered {status} {body[:200]!r}")
    return wrong


def unknown_paths(target: Target, count: int, at_once: int = MOST_PIPELINED) -> None:
    """Request as many different unknown paths."""
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        requests = [
            plain(b"GET", b"/" * (n % 2) + b"/v1/models/unknown-%d" % n * (n % 3) + b"/%d" % n) for n in numbers
        ]
        with socket.create_connection(("127.0.0.1", target.port), timeout=SECONDS) as connection:
            connection.sendall(b"".join(requests))
            file = connection.makefile("rb")
            for _ in numbers:
                answer = read(file)
                if answer is None or answer.status != 404:
                    raise AssertionError(f"an unknown path was answered {answer}")


def series(target: Target) -> set[bytes]:
    """List the names and labels of the series in `/metrics`."""
    lines = get(target.port, "/metrics")[1].splitlines()
    return {line.rpartition(b" ")[0] for line in lines if line and not line.startswith(b"#")}


def _sent(target: Target, found: Found, made: Request) -> list[str]:
    """Send one request and return the faults of its responses."""
    answers: list[Answer] = []
    try:
        with socket.create_connection(("127.0.0.1", target.port), timeout=SECONDS) as connection:
            if made.expects != ANSWERED:
                connection.settimeout(PATIENCE)
            connection.sendall(made.data)
            file = connection.makefile("rb")
            while len(answers) < made.answers and (answer := read(file, made.head)) is not None:
                answers.append(answer)
    except (OSError, ValueError) as error:
        broken = f"{type(error).__name__} {error}"
    else:
        broken = "the connection was closed"
    for answer in answers:
        found.note(made.kind, answer.status)
    wrong = [what for answer in answers for what in faults_of(answer, made.head)]
    if len(answers) < made.answers and not _may_end(answers):
        found.note(made.kind, None)
        if made.expects == ANSWERED:
            wrong.append(f"{len(answers)} of {made.answers} answers: {broken}")
    return wrong


def _may_end(answers: list[Answer]) -> bool:
    return bool(answers) and answers[-1].headers.get(b"connection") == b"close"


def faults_of(answer: Answer, head: bool = False) -> list[str]:
    """Check a response, whatever the request, and return its faults."""
    status, body = answer.status, answer.body
    if status >= 500 or not (200 <= status < 300 or status >= 400):
        return [f"answered {status} {body[:300]!r}"]
    if b"Traceback" in body:
        return [f"a stack trace: {body[:300]!r}"]
    if status < 400 or head:
        return []
    if answer.headers.get(b"content-type") != b"application/problem+json":
        return [f"{status} came as {answer.headers.get(b'content-type')!r}"]
    try:
        content = json.loads(body)
        fine = content["status"] == status and content["detail"] and _TRACE_ID.fullmatch(content["trace_id"])
    except (ValueError, KeyError, TypeError) as error:
        return [f"{status} is no problem: {error!r} {body[:300]!r}"]
    return [] if fine and len(body) < 20_000 else [f"{status} is no problem: {body[:300]!r}"]


def read(file: BinaryIO, head: bool = False) -> Answer | None:
    """Read the next response of a connection, without `100 Continue`; None if it was closed."""
    line = file.readline()
    if not line:
        return None
    status = int(line.split()[1])
    headers: dict[bytes, bytes] = {}
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip().lower()
    if status < 200:
        return read(file, head)
    if head:
        return Answer(status, headers, b"")
    if headers.get(b"transfer-encoding") == b"chunked":
        return Answer(status, headers, _chunks(file))
    length = int(headers.get(b"content-length", b"-1"))
    body = file.read(length)
    if len(body) < length:
        raise ValueError(f"{len(body)} of {length} bytes of the answer {status} came")
    return Answer(status, headers, body)


def _chunks(file: BinaryIO) -> bytes:
    parts = []
    while size := int(file.readline(), 16):
        parts.append(file.read(size))
        file.readline()
    file.readline()
    return b"".join(parts)
