"""Processor time of a server for each response, with and without the second sink of the shipper beside it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node
from benchmarks.elasticsearch.shipper_process import shipping
from benchmarks.elasticsearch.throughput import new_environment
from benchmarks.serving.measurement import in_pairs
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import SHORT_SEGMENTS, Server, started

PAIRS, SECONDS, RATE = 7, 10.0, 1_000.0
MOST = 1.05


def server_cost(node: Node, pairs: int = PAIRS, seconds: float = SECONDS) -> Iterator[Figure]:
    """Compare in pairs: the shipper ships to Parquet alone, or to Elasticsearch, too."""
    with started(SHORT_SEGMENTS) as servers:
        server = servers[SHORT_SEGMENTS]
        both = node.environment(server.folder, new_environment())
        node.set_up(both)
        parquet = {**both, "ELASTICSEARCH_URL": ""}
        ours, theirs = in_pairs(
            lambda: _seconds_of_response(server, both, seconds),
            lambda: _seconds_of_response(server, parquet, seconds),
            pairs,
        )
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    costs = f"{1e6 * median(ours):.1f} µs of {1e6 * median(theirs):.1f} µs"
    name = f"processor time of the server for a response, at {RATE:,.0f}/s, with the second sink on"
    yield Figure(name, f"{ratio:.3f} × ({costs})", f"≤ {MOST:g} ×", ratio <= MOST)


def _seconds_of_response(server: Server, environment: dict[str, str], seconds: float) -> float:
    with shipping(environment, drain=False):  # the server is paused after its load
        before = server.cpu_seconds()
        found = server.load(network.body(1), seconds, RATE)
        return (server.cpu_seconds() - before) / float(sum(found["statuses"].values()))
