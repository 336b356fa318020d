"""Rate of the shipper, against a parallel bulk of ready-made bodies from as many connections as a client would use."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.elasticsearch import events
from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node
from benchmarks.elasticsearch.shipper_process import pass_seconds
from benchmarks.serving.measurement import in_pairs

EVENTS, PAIRS = 200_000, 5
LEAST = 0.8
CONNECTIONS, BODY_BYTES = 4, 5 << 20


def throughput(node: Node, number: int = EVENTS, pairs: int = PAIRS) -> Iterator[Figure]:
    """Measure both in pairs, after one of each that does not count: it warms the node up."""
    shipped(node, number)
    bulk_rate(node, number)
    ours, theirs = in_pairs(lambda: shipped(node, number), lambda: bulk_rate(node, number), pairs)
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    rates = f"{median(ours):,.0f}/s of {median(theirs):,.0f}/s"
    name = f"shipper, {number:,} events of a spool, against a parallel bulk of ready-made bodies"
    yield Figure(name, f"{ratio:.2f} × ({rates})", f"≥ {LEAST:g} ×", ratio >= LEAST)


def shipped(node: Node, number: int) -> float:
    """Ship so many events of a new spool into a new stream; returns events a second, without the start."""
    with backlog(node, number) as environment:
        seconds = pass_seconds(environment)
    return number / seconds


@contextmanager
def backlog(node: Node, number: int) -> Iterator[dict[str, str]]:
    """Provide the environment of a shipper with so many events to ship; in the end all of them have to be there."""
    with TemporaryDirectory() as temporary:
        home, name = Path(temporary), new_environment()
        environment = node.environment(home, name)
        stream = node.set_up(environment)
        events.spool(home / "var" / "spool", events.requests(name, number))
        yield environment
    if (documents := node.count(stream)) != number:
        raise RuntimeError(f"of {number} events, {documents} are there")


def bulk_rate(node: Node, number: int) -> float:
    """Send so many events into a new stream in bodies that are made before; returns events a second."""
    with TemporaryDirectory() as temporary:
        name = new_environment()
        stream = node.set_up(node.environment(Path(temporary), name))
    made = list(events.bodies(events.requests(name, number), BODY_BYTES))
    started = time.perf_counter()
    send(node, stream, made)
    return number / (time.perf_counter() - started)


def send(node: Node, stream: str, bodies: Sequence[bytes]) -> None:
    """Send the bodies of bulk requests, several at a time."""

    def send_one(body: bytes) -> None:
        response = node.client.bulk(index=stream, operations=(body,), filter_path="errors")
        if response["errors"]:
            raise RuntimeError(f"{stream} refused some of the events")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(send_one, bodies))


def new_environment() -> str:
    """Name an environment whose streams are new."""
    return f"bench-{uuid.uuid4().hex[:8]}"
