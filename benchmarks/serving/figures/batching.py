"""Benchmark of micro-batches: the gain of the service, compared with the gain of ONNX Runtime itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.serving.measurement import Effort, Figure, in_pairs
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import Server, started

CONNECTIONS = 64
LEAST = 0.97  # where there are no batches; with them, of the network's own gain
LEAST_OF_GAIN = 0.9


def batching(effort: Effort) -> Iterator[Figure]:
    """A network of `cifar10`'s size, and one that gains more, with the server's own choice: with batching off."""
    yield _figure("convolutions", "a network of `cifar10`'s size", effort)
    yield _figure("dense layers", "three dense layers", effort)


def _figure(name: str, title: str, effort: Effort) -> Figure:
    with started(name, f"{name} without batches") as servers:
        ours, without = servers.values()
        choice = json.loads(ours.get(f"/v1/models/{network.USECASE}"))["batching"]
        pairs = in_pairs(lambda: _rate(ours, effort), lambda: _rate(without, effort), effort.pairs)
    used = choice["size"] > 1
    least = max(LEAST, LEAST_OF_GAIN * choice["gain"]) if used else LEAST
    chosen = f"batches of {choice['size']}, which gain {choice['gain']} in ONNX Runtime" if used else "none are used"
    return Figure(
        f"{title}, {CONNECTIONS} connections, batches ({chosen}): without", f"≥ {least:.2f}", least, None, *pairs
    )


def _rate(server: Server, effort: Effort) -> float:
    return server.load(server.network.body(1), effort.seconds, connections=CONNECTIONS)["rate"]
