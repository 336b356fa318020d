"""What is read of a service's `/metrics`, from what the service really exports."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bentos.telemetry.metrics import Metrics
from monitoring.telemetry.exposition import Counts, parse
from slipway.contracts.objectives import Objectives
from slipway.errors import ServiceError

OBJECTIVES = Objectives(availability=0.99, latency_ms=20, latency_quantile=0.95, window_days=28)


def exported(usecase: str = "loans") -> str:
    """The text of a service that answered four predictions, one late, one failed, and other requests."""
    metrics = Metrics(CollectorRegistry())
    metrics.set_objectives(usecase, OBJECTIVES)
    for code, seconds in ((200, 0.002), (200, 0.03), (422, 0.001), (503, 0.4)):
        metrics.request(usecase, "predict", code, seconds)
    metrics.request(usecase, "feedback", 500, 0.1)
    metrics.request("", "other", 404, 0.1)
    metrics.flush()
    return generate_latest(metrics.registry).decode()


def test_predictions_and_objectives_of_a_service_are_read() -> None:
    found = parse(exported(), {"loans"})
    counts = found.counts["loans"]
    assert (counts.requests, counts.failed, counts.slow) == (4, 1, 1)
    assert (counts.buckets[0.001], counts.buckets[0.0025], counts.buckets[float("inf")]) == (1, 2, 4)
    assert found.objectives == {"loans": OBJECTIVES}


def test_use_cases_that_are_not_watched_and_unknown_paths_take_no_memory() -> None:
    lines = [f'slipway_requests_total{{code="200",route="predict",usecase="u{i}"}} 1.0' for i in range(2_000)]
    assert parse("\n".join(lines), {"loans", "u7"}).counts == {"u7": Counts(requests=1)}


def test_the_lines_of_all_codes_are_added_and_impossible_values_are_left_out() -> None:
    values = {"200": "5.0", "201": "2", "500": "1", "502": "NaN", "503": "+Inf", "504": "-3"}
    lines = [f'slipway_requests_total{{code="{code}",route="predict",usecase="a"}} {n}' for code, n in values.items()]
    assert parse("\n".join(lines), {"a"}).counts == {"a": Counts(requests=8, failed=1)}


def test_objectives_that_no_use_case_can_have_are_none() -> None:
    text = exported()
    assert parse(text.replace("_window_days{usecase=", "_window_days{other="), {"loans"}).objectives == {}
    assert (
        parse(text.replace('quantile{usecase="loans"} 0.95', 'quantile{usecase="loans"} 95'), {"loans"}).objectives
        == {}
    )


@pytest.mark.parametrize(
    "line",
    [
        "slipway_objective_availability_ratio",
        'slipway_objective_availability_ratio{usecase="loans" 1',
        'slipway_requests_total{route="predict",usecase="loans"} 1',
        'slipway_requests_total{code="200",route="predict",usecase="loans"} many',
        'slipway_request_duration_seconds_bucket{route="predict",usecase="loans"} 1',
        'slipway_request_duration_seconds_bucket{le="x",route="predict",usecase="loans"} 1',
    ],
)
def test_another_format_is_an_error(line: str) -> None:
    with pytest.raises(ServiceError, match="not in Prometheus' text format"):
        parse(line, {"loans"})


def test_a_page_that_is_something_else_has_nothing() -> None:
    assert parse("<html>Sign in</html>", {"loans"}).counts == {}
