"""Buffered counters and histograms equal those of prometheus_client, and no count is lost."""

from __future__ import annotations

import threading
from functools import partial

from prometheus_client import CollectorRegistry

from bentos.telemetry.metrics import Metrics
from slipway.contracts.objectives import Objectives

LABELS = {"usecase": "loans", "route": "predict"}


def test_a_histogram_is_the_same_as_prometheus_clients_own() -> None:
    values = [0.0, 0.0005, 0.00050001, 0.003, 0.25, 5, 5.1, 1000]
    ours, theirs = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    for value in values:
        ours.of(ours.durations, *LABELS.values()).observe(value)
        theirs.durations.labels(*LABELS.values()).observe(value)
    ours.flush()
    assert _samples(ours) == _samples(theirs)
    assert len(_samples(ours)) > 10


def test_each_count_is_there_once_after_a_flush() -> None:
    metrics = Metrics(CollectorRegistry())
    lost = metrics.of(metrics.lost, "loans")
    lost.inc(3)
    assert _value(metrics, "slipway_prediction_log_lost_total") == 0
    for _ in range(2):
        metrics.flush()
        assert _value(metrics, "slipway_prediction_log_lost_total") == 3


def test_a_successful_prediction_later_than_its_objective_is_slow() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.set_objectives("loans", Objectives(latency_ms=20))
    slow = partial(metrics.registry.get_sample_value, "slipway_requests_slow_total", LABELS)
    assert slow() == 0
    for code, seconds in ((200, 0.0201), (200, 0.02), (200, 3.0), (503, 1.0), (422, 1.0)):
        metrics.request("loans", "predict", code, seconds)
    metrics.request("loans", "feedback", 200, 9.0)
    metrics.flush()
    assert slow() == 2
    assert metrics.registry.get_sample_value("slipway_request_duration_seconds_count", LABELS) == 5
    assert metrics.registry.get_sample_value("slipway_requests_total", {**LABELS, "code": "200"}) == 3
    metrics.set_objectives("loans", Objectives(latency_ms=5000))
    metrics.request("loans", "predict", 200, 3.0)
    metrics.flush()
    assert slow() == 2


def test_predictions_are_exposed_by_their_usual_codes_before_there_are_any() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.expose_predictions("loans")
    samples = [sample for family in metrics.requests.collect() for sample in family.samples]
    codes = {sample.labels["code"]: sample.value for sample in samples if sample.name == "slipway_requests_total"}
    assert codes == dict.fromkeys(("200", "400", "422", "429", "500", "503"), 0.0)


def test_requests_before_any_objective_are_counted_and_not_slow() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.request("loans", "predict", 200, 3600.0)
    metrics.flush()
    assert metrics.registry.get_sample_value("slipway_requests_slow_total", LABELS) == 0
    assert metrics.registry.get_sample_value("slipway_requests_total", {**LABELS, "code": "200"}) == 1


def test_threads_lose_no_count_while_another_flushes() -> None:
    metrics, threads, times = Metrics(CollectorRegistry()), 4, 20_000
    lost, durations = metrics.of(metrics.lost, "loans"), metrics.of(metrics.durations, *LABELS.values())

    def count() -> None:
        for _ in range(times):
            lost.inc()
            durations.observe(0.001)

    running = [threading.Thread(target=count) for _ in range(threads)]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        metrics.flush()
    metrics.flush()
    assert _value(metrics, "slipway_prediction_log_lost_total") == threads * times
    assert metrics.registry.get_sample_value("slipway_request_duration_seconds_count", LABELS) == threads * times


def _value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"usecase": "loans"})


def _samples(metrics: Metrics) -> dict[tuple, float]:
    samples = [sample for metric in metrics.registry.collect() for sample in metric.samples]
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for sample in samples
        if sample.name.startswith("slipway_request_duration") and not sample.name.endswith("_created")
    }
