"""Shipper as a process of its own: one that runs until it is stopped or killed, and one that takes a single pass.

`python -m benchmarks.elasticsearch.shipper_process` takes the pass, to Elasticsearch alone, and prints as JSON how long
it took; imports do not count.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.monitoring.child_process import measure
from slipway.clients.http import is_healthy
from slipway.system.ports import free_port
from slipway.system.processes import Process, RunningProcess

START_SECONDS, DRAIN_SECONDS = 60.0, 900.0


class RunningShipper:
    """`slipway ship` with these settings, ready when it responds."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        port = free_port(9150)
        health = f"http://127.0.0.1:{port}/livez"
        log = Path(environment["SLIPWAY_VAR"]) / "ship.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = {**environment, "SLIPWAY_SHIP_PORT": str(port)}
        argv = (sys.executable, "-m", "slipway.cli", "ship")
        self._running = RunningProcess(Process("ship", argv, log, settings, health_url=health))

    def wait_ready(self) -> None:
        """Wait until it ships."""
        self._running.wait_ready(START_SECONDS, is_healthy)

    def drain(self) -> None:
        """Have it ship all that is left, and end."""
        self._running.stop(DRAIN_SECONDS)

    def kill(self) -> None:
        """Kill it, whatever it does now."""
        os.kill(self._running.pid, signal.SIGKILL)
        self._running.stop()


@contextmanager
def shipping(environment: Mapping[str, str], *, drain: bool = True) -> Iterator[RunningShipper]:
    """Ship for the length of the block, and then what is left; without `drain`, end at once.

    A server that is paused completes no segment, so what it left would be waited for in vain.
    """
    shipper = RunningShipper(environment)
    try:
        shipper.wait_ready()
        yield shipper
    finally:
        if drain:
            shipper.drain()
        else:
            shipper.kill()


def pass_seconds(environment: Mapping[str, str]) -> float:
    """Take a single pass, and return its seconds.

    Raises:
        RuntimeError: something was not shipped.
    """
    found = json.loads(measure(["-m", "benchmarks.elasticsearch.shipper_process"], environment).output)
    if found["failed"]:
        raise RuntimeError("; ".join(found["failed"]))
    return float(found["seconds"])


def main() -> None:
    """Take the pass."""
    import elasticsearch  # noqa: F401  # the sink imports it at its first use, and the start of a process does not count

    from monitoring.log_shipping.elasticsearch_sink import ElasticsearchSink
    from monitoring.log_shipping.shipper import Shipper
    from monitoring.log_shipping.sinks import Totals
    from slipway.settings import settings

    shipper = Shipper(settings(), [ElasticsearchSink(settings(), Totals())])
    started = time.perf_counter()
    shipped = shipper.ship()
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started, "failed": shipped.failed}))


if __name__ == "__main__":
    main()
