"""The least that a request of many rows can cost: a loop that parses it, runs the network, serializes the answer and
the same events for the log, and writes those once. No HTTP, no key, no checks.

`python -m benchmarks.serving.batch_loop BODY LOG SECONDS` prints rounds a second.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving.targets.peers import Network

_ENVELOPE = {
    "@timestamp": "2026-01-01T00:00:00.000000Z",
    "event": {"id": f"{'0' * 36}-0:champion:1", "outcome": "success", "duration": 1_000_000},
    "trace": {"id": "0" * 32},
    "http": {"request": {"id": "0" * 36}},
    "service": {"name": "slipway", "version": "1", "environment": "development"},
}
_COMMON = {
    "contract": 1,
    "usecase": "benchmark",
    "model_version": "1",
    "bundle_sha256": "0" * 64,
    "role": "champion",
    "answered": True,
    "row_id": f"{'0' * 36}-0",
    "row_key": "0" * 32,
    "split_bucket": 1234,
    "key": None,
    "caller": "0" * 32,
    "warnings": (),
    "cached": False,
    "model_ms": 0.123456,
}


def once(network: Network, body: bytes, log: int, encoder: msgspec.json.Encoder) -> bytes:
    instances = msgspec.json.decode(body)["instances"]
    found = network.predict(instances)
    events: list[dict[str, Any]] = [
        {**_ENVELOPE, "slipway": {**_COMMON, "features": row, "value": None, **answer}}
        for row, answer in zip(instances, found, strict=True)
    ]
    os.write(log, encoder.encode_lines(events))
    return encoder.encode({"predictions": [{"id": "0" * 38, **answer} for answer in found]})


def main(body: Path, log: Path, seconds: float) -> None:
    network, content, encoder = Network(), body.read_bytes(), msgspec.json.Encoder()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rounds, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        once(network, content, descriptor, encoder)
        rounds += 1
    sys.stdout.write(f"{rounds / (time.perf_counter() - started)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
