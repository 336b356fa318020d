"""Exporter of the shipper, `/metrics` and `/livez`, for a pod, whose spool no other process can read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.log_shipping.shipper import Shipper, lag, usecases
from slipway.errors import PortTaken
from slipway.same_origin import SameOriginCheck
from slipway.settings import Settings
from slipway.system.ports import url_at
from slipway.telemetry.processes import this_process

STUCK_SECONDS = 120.0


def lag_of_log(settings: Settings) -> Metric:
    """Gauge of the lag of every use case."""
    family = GaugeMetricFamily(
        "slipway_prediction_log_lag_seconds", "Age of the oldest line that is not shipped.", labels=["usecase"]
    )
    for usecase, seconds in lag(settings).items():
        family.add_metric([usecase], seconds)
    return family


class ShipperCollector(Collector):
    """Counters of a shipper and the lag of its spool, read when Prometheus scrapes."""

    def __init__(self, settings: Settings, shipper: Shipper) -> None:
        self._settings = settings
        self._shipper = shipper

    def collect(self) -> Iterator[Metric]:
        yield lag_of_log(self._settings)
        yield GaugeMetricFamily(
            "slipway_prediction_log_rotation_seconds",
            "Age at which a segment is closed: with a pass, the most that a lost node can cost.",
            value=self._settings.segment_seconds,
        )
        yield self._lag_of_sinks()
        totals, found = self._shipper.totals, usecases(self._settings.spool)
        for name, counts, description in (
            ("shipped_events", totals.events, "Events that every sink has."),
            ("shipped_segments", totals.segments, "Segments that every sink has."),
            ("ship_failures", totals.failures, "Times that a segment or another file could not be shipped."),
            ("refused_documents", totals.refused, "Documents that Elasticsearch refused, which are kept aside."),
            ("retried_documents", totals.retried, "Documents that were sent to Elasticsearch again."),
        ):
            family = CounterMetricFamily(f"slipway_prediction_log_{name}", description, labels=["usecase"])
            for usecase in found:
                family.add_metric([usecase], counts[usecase])
            yield family

    def _lag_of_sinks(self) -> Metric:
        family = GaugeMetricFamily(
            "slipway_prediction_log_sink_lag_seconds",
            "Age of the oldest line that a sink lacks.",
            labels=["usecase", "sink"],
        )
        for labels, seconds in self._shipper.lags().items():
            family.add_metric(labels, seconds)
        return family


@contextmanager
def serve_metrics(settings: Settings, shipper: Shipper) -> Iterator[str]:
    """Serve at the address of the settings, in threads, for the length of the block.

    Raises:
        PortTaken: the port is in use.
    """
    address = settings.status_host, settings.ship_port
    try:
        server = _Server(address, settings, shipper)
    except OSError as error:
        raise PortTaken(
            f"{address[0]}:{address[1]}, for the shipper's metrics, is not available ({error.strerror}): "
            "set SLIPWAY_SHIP_PORT or SLIPWAY_STATUS_HOST."
        ) from None
    threading.Thread(target=server.serve_forever, name="ship-metrics", daemon=True).start()
    try:
        yield url_at(address[0], server.server_port)
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], settings: Settings, shipper: Shipper) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self._shipper = shipper
        self.same_origin = SameOriginCheck(settings.status_host, settings.allowed_hosts)
        self._registry = CollectorRegistry()
        self._registry.register(ShipperCollector(settings, shipper))
        self._registry.register(this_process("shipper"))

    def respond(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path != "/livez":
            return 404, "text/plain", b"There are /metrics and /livez.\n"
        if time.monotonic() - self._shipper.moved < STUCK_SECONDS:
            return 200, "text/plain", b"ok\n"
        return 503, "text/plain", b"the shipper is stuck\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0
    server: _Server

    def do_GET(self) -> None:
        host, origin = (", ".join(self.headers.get_all(name, [])).encode() for name in ("Host", "Origin"))
        refusal = self.server.same_origin.refusal(host, origin)
        if refusal:
            status, kind, content = 403, "text/plain", f"{refusal}\n".encode()
        else:
            status, kind, content = self.server.respond(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """No access log."""
