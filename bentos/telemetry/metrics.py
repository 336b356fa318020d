"""What the server counts. Made in a worker, never in the supervisor; `/metrics` is all workers as one.

Every label comes from a fixed set: an unknown path counts as the route `other`, an unknown use case as none.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess

from bentos.telemetry.buffered_metrics import BufferedCounter, BufferedHistogram

ROUTES = ("predict", "feedback", "model", "schema", "models", "page", "docs", "openapi", "probe", "metrics", "other")
_CODES = {code: str(code) for code in range(100, 600)}
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_FILES = ("counter", "histogram", "gauge_livemax", "gauge_livesum", "gauge_livemostrecent")
_RESERVED_BYTES = 256 << 10  # for some 1,500 series each
_log = logging.getLogger("slipway.serving")
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MODEL_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5)


class Metrics:
    """One attribute for each metric; `of` gives its children, which count in memory until `flush`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "slipway_requests", "Requests answered.", ["usecase", "route", "code"], registry=registry
        )
        self.durations = Histogram(
            "slipway_request_duration_seconds",
            "Time from the request's head to its answer.",
            ["usecase", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.predictions = Counter(
            "slipway_predictions", "Rows predicted.", ["usecase", "version", "role", "label"], registry=registry
        )
        self.model_seconds = Histogram(
            "slipway_model_seconds",
            "Time in the model, for each request.",
            ["usecase", "version", "role"],
            buckets=_MODEL_SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "slipway_batch_rows",
            "Rows in one run of a network that is given batches.",
            ["usecase"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self.model_errors = Counter(
            "slipway_model_errors", "Requests that the model failed.", ["usecase", "version", "role"], registry=registry
        )
        self.model_info = Gauge(
            "slipway_model_info",
            "1 for what a living worker serves.",
            ["usecase", "version", "role", "source", "device"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.warnings = Counter(
            "slipway_input_warnings",
            "Values that were answered although unlike training.",
            ["usecase", "feature", "reason"],
            registry=registry,
        )
        self.lost = Counter(
            "slipway_prediction_log_lost", "Lines that the log could not keep.", ["usecase"], registry=registry
        )
        self.shed = Counter(
            "slipway_requests_shed",
            "Requests refused, so that those accepted are in time; slow: the sender was.",
            ["usecase", "reason"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "slipway_requests_in_flight",
            "Requests that wait for a thread or are on one.",
            ["usecase"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.shadow_shed = Counter(
            "slipway_shadow_shed",
            "Requests that the shadow got no copy of, or not in time.",
            ["usecase", "version"],
            registry=registry,
        )
        self.canary_fallbacks = Counter(
            "slipway_canary_fallbacks",
            "Requests that the champion answered in place of the canary: it failed, was late, or busy.",
            ["usecase", "version", "reason"],
            registry=registry,
        )
        self.clock_offset = Gauge(
            "slipway_clock_offset_seconds",
            "How far this machine's clock is ahead of the registry's.",
            ["usecase"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.follower_finding = Gauge(
            "slipway_follower_finding",
            "1 while the follower finds something wrong with it; hung: the follower itself does not look.",
            ["usecase", "topic"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._answered: dict[tuple[str, str, int], tuple[Any, Any]] = {}  # what `request` asks of its two children

    def of(self, metric: Any, *labels: str) -> Any:
        """The metric's child with these labels, there from now on."""
        try:
            return self._children[metric, labels]
        except KeyError:
            return self._children.setdefault((metric, labels), _child(metric, labels))

    def flush(self) -> None:
        """Bring what was counted to where `/metrics` finds it."""
        for child in list(self._children.values()):
            if isinstance(child, BufferedCounter | BufferedHistogram):
                child.flush()

    def request(self, usecase: str, route: str, code: int, seconds: float) -> None:
        try:
            inc, observe = self._answered[usecase, route, code]
        except KeyError:
            inc = self.of(self.requests, usecase, route, _CODES[code]).inc
            observe = self.of(self.durations, usecase, route).observe
            self._answered[usecase, route, code] = inc, observe
        inc()
        observe(seconds)


def _child(metric: Any, labels: tuple[str, ...]) -> Any:
    child = metric.labels(*labels)
    if isinstance(metric, Counter):
        return BufferedCounter(child)
    return BufferedHistogram(child) if isinstance(metric, Histogram) else child


@lru_cache(maxsize=1)
def metrics() -> Metrics:
    """This process's metrics, made on first use."""
    _reserve()
    return Metrics(CollectorRegistry())


def _reserve() -> None:
    """Have the disk's blocks for what is counted before it is: the files are mapped into memory, and a process that
    writes there where the disk has no block left is killed (SIGBUS)."""
    directory = os.environ.get(_DIRECTORY)
    for kind in _FILES if directory else ():
        try:
            with Path(directory, f"{kind}_{os.getpid()}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVED_BYTES)
        except OSError as error:
            _log.warning("no space can be kept for metrics in %s: %s", directory, error)


def exposition() -> bytes:
    """The text of `/metrics`: of all workers where BentoML runs us, of this process elsewhere."""
    metrics().flush()
    registry = metrics().registry
    if _DIRECTORY in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return prometheus_client.generate_latest(registry)


def forget_dead_workers() -> None:
    """Take away what workers that were killed said of the present; what they counted stays in the sums."""
    directory = os.environ.get(_DIRECTORY)
    if not directory:
        return
    pids = {path.stem.rpartition("_")[2] for path in Path(directory).glob("gauge_live*_*.db")}
    for pid in pids:
        if pid.isdigit() and not Path("/proc", pid).exists():
            multiprocess.mark_process_dead(int(pid))
