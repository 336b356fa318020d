"""Watch and shipper, pass after pass without a pause, as a process that prints its memory after some passes.

python -m benchmarks.monitoring.long_running watch 10000
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.monitoring.generated_log import NAME
from slipway.settings import settings

SCRAPED_EVERY = 3
"""Passes of the watch between two scrapes: it takes one in 5 s, and Prometheus scrapes in 15 s."""
SEGMENT_EVERY = 7
"""Passes of the shipper between two segments: it takes one in 2 s, and a worker closes a segment in 15 s."""
_EVENTS = 15  # of a segment, at one prediction a second


def watch() -> Callable[[int], None]:
    """Make the watch's pass, with its telemetry, its page and its metrics."""
    import httpx

    from monitoring.status.app import application
    from monitoring.telemetry.collector import TelemetryCollector
    from monitoring.watch import Watcher

    watcher = Watcher([NAME], settings())
    telemetry = TelemetryCollector(settings(), lambda: [NAME])
    app = application(settings(), lambda: watcher.board, lambda: True, watcher.hint, [watcher.passes])

    async def read() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            for path in ("/", "/metrics"):
                (await client.get(path)).raise_for_status()

    def take_pass(number: int) -> None:
        watcher.pass_once()
        if number % SCRAPED_EVERY == 0:
            telemetry.once()
            asyncio.run(read())

    return take_pass


def ship() -> Callable[[int], None]:
    """Make the shipper's pass, with its metrics and the sinks of the settings; some find a segment."""
    from prometheus_client import CollectorRegistry, generate_latest

    from benchmarks.elasticsearch import events
    from monitoring.log_shipping.exporter import ShipperCollector
    from monitoring.log_shipping.shipper import Shipper, configured_sinks
    from monitoring.log_shipping.sinks import Totals
    from slipway.system.allocator import share_arenas

    share_arenas()  # as the command does
    totals, registry = Totals(), CollectorRegistry()
    shipper = Shipper(settings(), configured_sinks(settings(), totals), totals)
    registry.register(ShipperCollector(settings(), shipper))

    def take_pass(number: int) -> None:
        if number % SEGMENT_EVERY == 0:
            events.spool(settings().spool, [events.request(settings().environment, _EVENTS)])
        assert not shipper.ship().failed
        if number % SEGMENT_EVERY == 0:
            generate_latest(registry)

    return take_pass


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def run(take_pass: Callable[[int], None], passes: int) -> Iterator[tuple[int, float]]:
    """Take the passes; yields the memory after 100, 1,000 and so on, and after the last one."""
    marks = {passes, *(10**n for n in range(2, 10) if 10**n < passes)}
    for number in range(1, passes + 1):
        take_pass(number)
        if number in marks:
            yield number, resident_mb()


def main(process: str, passes: int) -> None:
    """Run one of the two and print its memory."""
    make = {"watch": watch, "ship": ship}[process]
    for number, mb in run(make(), passes):
        sys.stdout.write(f"{number} {mb:.1f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
