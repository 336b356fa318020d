"""Prometheus metrics of the service. Each worker has its own, the supervisor none; `/metrics` combines all workers.

Every label has a fixed set of values: an unknown path counts as the route `other`, an unknown use case as none. The
series of a version are left out when it has not been served for a while.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from bentos.telemetry import dead_workers, shared_files
from bentos.telemetry.buffered_metrics import BufferedCounter, BufferedHistogram, BufferedRequests
from bentos.telemetry.reserved_file import ReservedFile
from bentos.telemetry.shared_files import SharedFiles
from slipway.contracts.objectives import Objectives

ROUTES = ("predict", "feedback", "model", "schema", "models", "page", "docs", "openapi", "probe", "metrics", "other")
_PREDICT = "predict"
_CODES = {code: str(code) for code in range(100, 600)}
_USUAL_CODES = (200, 400, 422, 429, 500, 503)
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MODEL_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class Definition(NamedTuple):
    """One metric of the service: its attribute of `Metrics`, and what prometheus_client needs to make it.

    `mode` is how a gauge is combined from all workers.
    """

    attribute: str
    kind: type[Counter | Gauge | Histogram]
    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    mode: str = ""

    def make(self, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
        options: dict[str, Any] = {}
        if self.buckets:
            options["buckets"] = self.buckets
        if self.mode:
            options["multiprocess_mode"] = self.mode
        return self.kind(self.name, self.help, self.labels, registry=registry, **options)


_VERSION = ("usecase", "version", "role")
DEFINITIONS = (
    Definition("requests", Counter, "slipway_requests", "Requests answered.", ("usecase", "route", "code")),
    Definition(
        "durations",
        Histogram,
        "slipway_request_duration_seconds",
        "Time from receiving a request's headers to sending its response.",
        ("usecase", "route"),
        buckets=_SECONDS,
    ),
    Definition(
        "slow",
        Counter,
        "slipway_requests_slow",
        "Successful predictions (2xx) whose response was later than the use case's objective of latency.",
        ("usecase", "route"),
    ),
    Definition(
        "objective_availability",
        Gauge,
        "slipway_objective_availability_ratio",
        "Objective: share of predictions that succeed.",
        ("usecase",),
        mode="livemostrecent",
    ),
    Definition(
        "objective_latency",
        Gauge,
        "slipway_objective_latency_seconds",
        "Objective: time within which a prediction is answered.",
        ("usecase",),
        mode="livemostrecent",
    ),
    Definition(
        "objective_quantile",
        Gauge,
        "slipway_objective_latency_quantile",
        "Objective: share of successful predictions that are answered within that time.",
        ("usecase",),
        mode="livemostrecent",
    ),
    Definition(
        "objective_window",
        Gauge,
        "slipway_objective_window_days",
        "Objective: days over which the error budget is counted.",
        ("usecase",),
        mode="livemostrecent",
    ),
    Definition(
        "swaps",
        Counter,
        "slipway_swaps",
        "Attempts of a worker to serve the desired version: `swapped`, `failed` (the machine's fault, tried again) or "
        "`refused` (the bundle's).",
        ("usecase", "outcome"),
    ),
    Definition("predictions", Counter, "slipway_predictions", "Rows predicted.", (*_VERSION, "label")),
    Definition(
        "scores",
        Histogram,
        "slipway_prediction_score",
        "Scores of the rows predicted: probability of the positive class, or the largest one. A regression has none.",
        _VERSION,
        buckets=_SCORES,
    ),
    Definition(
        "model_seconds",
        Histogram,
        "slipway_model_seconds",
        "Time that the model takes for one request.",
        _VERSION,
        buckets=_MODEL_SECONDS,
    ),
    Definition(
        "batch_rows",
        Histogram,
        "slipway_batch_rows",
        "Rows in one run of a model that is run in batches.",
        ("usecase",),
        buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    ),
    Definition("model_errors", Counter, "slipway_model_errors", "Requests for which the model failed.", _VERSION),
    Definition(
        "model_info",
        Gauge,
        "slipway_model_info",
        "1 for each version that a running worker serves.",
        (*_VERSION, "source", "device"),
        mode="livemax",
    ),
    Definition(
        "warnings",
        Counter,
        "slipway_input_warnings",
        "Input values that were predicted although they are unlike the training data.",
        ("usecase", "feature", "reason"),
    ),
    Definition(
        "lost",
        Counter,
        "slipway_prediction_log_lost",
        "Events that could not be written to the prediction log.",
        ("usecase",),
    ),
    Definition(
        "shed",
        Counter,
        "slipway_requests_shed",
        "Requests refused to keep accepted ones within their deadline; reason slow: the client sent or read too "
        "slowly; connections: too many were open.",
        ("usecase", "reason"),
    ),
    Definition(
        "in_flight",
        Gauge,
        "slipway_requests_in_flight",
        "Requests that run on a worker thread or wait for one.",
        ("usecase",),
        mode="livesum",
    ),
    Definition(
        "shadow_shed",
        Counter,
        "slipway_shadow_shed",
        "Requests that were not copied to the shadow, or not answered by it in time.",
        ("usecase", "version"),
    ),
    Definition(
        "canary_fallbacks",
        Counter,
        "slipway_canary_fallbacks",
        "Requests that the champion answered in place of the canary, which failed, was late or was busy.",
        ("usecase", "version", "reason"),
    ),
    Definition(
        "follower_finding",
        Gauge,
        "slipway_follower_finding",
        "1 while the follower reports a problem with the topic; hung: the follower itself does not poll. No series "
        "without a registry.",
        ("usecase", "topic"),
        mode="livemostrecent",
    ),
)


class Metrics:
    """The metrics of DEFINITIONS, one attribute each; `of` returns their children, buffered in memory until `flush`.

    `shared` collects those of all workers, where workers share files.
    """

    requests: Counter
    durations: Histogram
    slow: Counter
    objective_availability: Gauge
    objective_latency: Gauge
    objective_quantile: Gauge
    objective_window: Gauge
    swaps: Counter
    predictions: Counter
    scores: Histogram
    model_seconds: Histogram
    batch_rows: Histogram
    model_errors: Counter
    model_info: Gauge
    warnings: Counter
    lost: Counter
    shed: Counter
    in_flight: Gauge
    shadow_shed: Counter
    canary_fallbacks: Counter
    follower_finding: Gauge

    def __init__(self, registry: CollectorRegistry, shared: SharedFiles | None = None) -> None:
        self.registry = registry
        self.shared = shared
        for definition in DEFINITIONS:
            setattr(self, definition.attribute, definition.make(registry))
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._requests: dict[tuple[str, str, int], BufferedRequests] = {}
        self._slow_after: dict[str, float] = {}  # seconds, by use case

    def of(self, metric: Any, *labels: str) -> Any:
        """Return the metric's child with these labels, which is exposed from now on."""
        try:
            return self._children[metric, labels]
        except KeyError:
            return self._children.setdefault((metric, labels), _child(metric, labels))

    def flush(self) -> None:
        """Write what was buffered to where `/metrics` reads it."""
        for requests in list(self._requests.values()):
            requests.flush()
        for child in list(self._children.values()):
            if isinstance(child, BufferedCounter | BufferedHistogram):
                child.flush()

    def forget(self, **labels: str) -> None:
        """Leave out the series that have these labels, until they count again."""
        for metric, values in list(self._children):
            if labels.items() <= dict(zip(metric._labelnames, values, strict=True)).items():
                del self._children[metric, values]
                with warnings.catch_warnings():  # that it leaves them in the files, which comes next
                    warnings.simplefilter("ignore", UserWarning)
                    metric.remove(*values)
        for file in list(ReservedFile.opened):
            file.forget(**labels)
        if folder := os.environ.get(shared_files.VARIABLE):
            dead_workers.forget(Path(folder), **labels)

    def request(self, usecase: str, route: str, code: int, seconds: float) -> None:
        """Count one response and its duration."""
        try:
            requests = self._requests[usecase, route, code]
        except KeyError:
            requests = self._requests.setdefault((usecase, route, code), self._buffered(usecase, route, code))
        requests.add(seconds)

    def expose_predictions(self, usecase: str) -> None:
        """Expose the requests for predictions before there are any, by their usual status codes.

        A counter that appears with its first event has risen by nothing to `rate`, so a first error would be no error.
        """
        for code in _USUAL_CODES:
            self.of(self.requests, usecase, _PREDICT, _CODES[code])

    def set_objectives(self, usecase: str, objectives: Objectives) -> None:
        """Show the use case's objectives, and count responses from now on that are later than they allow."""
        self._slow_after[usecase] = objectives.latency_seconds
        self.of(self.slow, usecase, _PREDICT)  # an alert on it needs the series from the start
        self.of(self.objective_availability, usecase).set(objectives.availability)
        self.of(self.objective_latency, usecase).set(objectives.latency_seconds)
        self.of(self.objective_quantile, usecase).set(objectives.latency_quantile)
        self.of(self.objective_window, usecase).set(objectives.window_days)

    def _buffered(self, usecase: str, route: str, code: int) -> BufferedRequests:
        """Requests that failed or were shed are not slow: they count against availability."""
        return BufferedRequests(
            self.of(self.requests, usecase, route, _CODES[code]),
            self.of(self.durations, usecase, route),
            self.of(self.slow, usecase, route) if route == _PREDICT and code // 100 == 2 else None,
            lambda: self._slow_after.get(usecase, math.inf),
        )


def _child(metric: Any, labels: tuple[str, ...]) -> Any:
    child = metric.labels(*labels)
    if isinstance(metric, Counter):
        return BufferedCounter(child)
    return BufferedHistogram(child) if isinstance(metric, Histogram) else child


@lru_cache(maxsize=1)
def metrics() -> Metrics:
    """Return this process's metrics, made on first use."""
    shared = shared_files.prepare()  # before any metric is made
    return Metrics(CollectorRegistry(), shared)


def exposition(usecases: Collection[str] | None = None, others: Iterable[Collector] = ()) -> bytes:
    """Return the text of `/metrics`, of all workers under BentoML, else of this process: of some use cases, or all.

    `others` collect what no worker counts.
    """
    found, registry = metrics(), CollectorRegistry()
    found.flush()
    if found.shared is None:
        registry.register(found.registry)
    for collector in others:
        registry.register(collector)
    counted = found.shared.text(usecases) if found.shared else b""
    return counted + prometheus_client.generate_latest(registry if usecases is None else _Selected(registry, usecases))


class _Selected(Collector):
    """The series of some use cases, and those of none."""

    def __init__(self, registry: CollectorRegistry, usecases: Collection[str]) -> None:
        self._registry = registry
        self._shown = {"", *usecases}

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.labels.get("usecase", "") in self._shown]
            yield metric
