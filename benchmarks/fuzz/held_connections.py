"""Held connections: strangers pipeline, read nothing, send slowly or leave, and cost neither memory nor descriptors.

A real server with few file descriptors and limited memory answers a client that is known to it all along. Each case is
a connection, derived from the seed and its number alone: `case(target, seed, number)`.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil

from benchmarks.fuzz import bodies
from benchmarks.fuzz.campaign import MOST_FAILURES, Found, faults_of, neighbours, read
from benchmarks.fuzz.requests import plain
from benchmarks.fuzz.target import SECONDS, Target

DESCRIPTORS = 256  # of a worker
RESERVED = 32  # of them, which must be left for the log, the key file and bundles at any time
MOST_MEMORY = 128 << 20  # bytes that a worker may take beyond what it has when it is ready
AT_ONCE = 2 * DESCRIPTORS  # connections that strangers hold
EVERY = 10  # connections, after which the known client is answered and the workers are measured
PATIENCE = 0.05  # seconds for a stranger's write and read
ENDED_SECONDS = 15.0  # for connections of strangers to be cut off: two limits of time, on a busy machine
GROUPS = Path("/sys/fs/cgroup")
_ABORT = struct.pack("ii", 1, 0)


class Case(NamedTuple):
    """A connection: the bytes to send, how many bytes to read of the responses, and what becomes of it."""

    kind: str
    data: bytes
    reads: int
    end: str  # held, closed, half closed or aborted


def case(target: Target, seed: int, number: int) -> Case:
    """Make the case with that number."""
    rng = Random(f"{seed}:{number}")
    usecase = rng.choice(target.usecases)
    prediction = bodies.encoded(bodies.prediction(rng, usecase))
    post = plain(b"POST", b"/v1/models/%b/predict" % usecase.name.encode(), prediction)
    get = plain(b"GET", rng.choice((b"/livez", b"/page/page.css", b"/v1/models", b"/openapi.json", b"/metrics", b"/x")))
    many = rng.choice((1, 2, 16, 17, 100, 2000))
    kinds = {
        "idle": b"",
        "pipelined": get * many,
        "predictions": post * min(many, 100),
        "half a request": post[: rng.randrange(len(post))],
        "half a head": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * rng.randrange(5000),
        "promised": plain(b"POST", b"/v1/predict", more=b"content-length: 900000") + prediction,
        "chunks": plain(b"POST", b"/v1/predict", more=b"transfer-encoding: chunked") + b"1\r\nx\r\n" * many,
        "pipelined and damaged": get * min(many, 16) + bodies.bytes_changed(rng, post),
        "no HTTP": rng.randbytes(rng.randint(1, 2000)),
    }
    kind = rng.choice(sorted(kinds))
    reads = rng.choice((0, 0, 1, 1000, 1_000_000))
    return Case(kind, kinds[kind], reads, rng.choice(("held", "held", "held", "closed", "half closed", "aborted")))


def run(target: Target, workers: list[int], seed: int, count: int) -> Found:
    """Open the connections `0 … count - 1` of the seed, and watch the worker processes."""
    found, held = Found(seed), deque[socket.socket]()
    processes = [psutil.Process(pid) for pid in workers]
    before = [process.memory_info().rss for process in processes]
    with ExitStack() as stack, Known(target) as known:
        stack.callback(lambda: [connection.close() for connection in held])
        for number in range(count):
            if len(found.failures) >= MOST_FAILURES:
                return found
            made = case(target, seed, number)
            found.note(made.kind, _open(made, target.port, held))
            if number % EVERY == EVERY - 1:
                for wrong in [*known.faults(), *_excess(processes, before)]:
                    found.fail(f"after connection {number} ({made.kind}): {wrong}; sent {made.data[:200]!r}")
        for wrong in [*_held_too_long(processes), *neighbours(target)]:
            found.fail(f"after all {count} connections: {wrong}")
    return found


def _open(made: Case, port: int, held: deque[socket.socket]) -> str:
    """Open a connection, send and read, and end it or add it to those that are held; returns what became of it."""
    while len(held) >= AT_ONCE:
        held.popleft().close()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel reads no response for the client
    connection.settimeout(PATIENCE)
    try:
        connection.connect(("127.0.0.1", port))
        connection.sendall(made.data)
        received = connection.recv(made.reads) if made.reads else b""
    except TimeoutError:
        received = b""
    except OSError:
        connection.close()
        return "refused"
    if made.end == "held":
        held.append(connection)
        return "held, answered" if received else "held"
    with suppress(OSError):
        if made.end == "half closed":
            connection.shutdown(socket.SHUT_WR)
            held.append(connection)
            return made.end
        if made.end == "aborted":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    connection.close()
    return made.end


class Known:
    """A client whose connection is open before strangers come, and is kept."""

    def __init__(self, target: Target) -> None:
        row = {"instances": target.usecases[0].rows[:1]}
        path = b"/v1/models/%b/predict" % target.usecases[0].name.encode()
        self._request = plain(b"POST", path, bodies.encoded(row))
        self._port = target.port

    def __enter__(self) -> Known:
        self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS)
        self._file = self._connection.makefile("rb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._connection.close()

    def faults(self) -> list[str]:
        """Send a valid request, and return what is wrong with its response."""
        try:
            self._connection.sendall(self._request)
            answer = read(self._file)
        except (OSError, ValueError) as error:
            return [f"a known client is not answered: {type(error).__name__} {error}"]
        if answer is None:
            return ["the connection of a known client was closed"]
        return faults_of(answer) or ([] if answer.status == 200 else [f"a known client is answered {answer.status}"])


def _excess(processes: list[psutil.Process], before: list[int]) -> Iterator[str]:
    for process, at_first in zip(processes, before, strict=True):
        try:
            grown, descriptors = process.memory_info().rss - at_first, process.num_fds()
        except psutil.NoSuchProcess:
            yield f"worker {process.pid} ended"
            continue
        if grown > MOST_MEMORY:
            yield f"worker {process.pid} has {grown >> 20} MB more than at first"
        if descriptors > DESCRIPTORS - RESERVED:
            yield f"worker {process.pid} has {descriptors} of {DESCRIPTORS} descriptors open"


def _connections(processes: list[psutil.Process]) -> int:
    return sum(one.status == psutil.CONN_ESTABLISHED for process in processes for one in process.net_connections())


def _held_too_long(processes: list[psutil.Process]) -> list[str]:
    """Wait until the connections that strangers still hold are cut off."""
    deadline = time.monotonic() + ENDED_SECONDS
    while (count := _connections(processes)) > 2 * len(processes) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"{count} connections are open {ENDED_SECONDS:.0f} s later"] if count > 2 * len(processes) else []


def few_descriptors() -> None:
    """Limit the file descriptors of a process that is about to start, and of those that it starts."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@contextmanager
def limited_memory(workers: list[int]) -> Iterator[str]:
    """Let running processes take MOST_MEMORY more each, and provide the name of the limit; it ends with them.

    In a control group where this user may make one: the kernel ends who is above it. Elsewhere by RLIMIT_AS, which an
    allocation runs into; threads that start count with their stacks.
    """
    controller = next((path for path in (GROUPS / "memory", GROUPS) if (path / "cgroup.procs").exists()), GROUPS)
    group = controller / f"slipway-fuzz-{os.getpid()}"
    limit = "memory.limit_in_bytes" if controller.name == "memory" else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(MOST_MEMORY * len(workers)))
        for pid in workers:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        for pid in workers:
            most = psutil.Process(pid).memory_info().vms + 4 * MOST_MEMORY
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
        yield "RLIMIT_AS"
        return
    try:
        yield "a control group"
    finally:
        _dissolve(controller, group)


def _dissolve(controller: Path, group: Path) -> None:
    """Return the processes of a group to the one above, and remove it."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(OSError):
            (controller / "cgroup.procs").write_text(pid)
    group.rmdir()
