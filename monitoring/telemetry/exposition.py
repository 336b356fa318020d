"""Parser of a service's `/metrics`: predictions and objectives by use case."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from slipway.contracts.objectives import Objectives
from slipway.errors import ServiceError

_REQUESTS, _SLOW = "slipway_requests_total", "slipway_requests_slow_total"
_DURATIONS = "slipway_request_duration_seconds_bucket"
_OBJECTIVE = "slipway_objective_"
_ROUTE = 'route="predict"'


@dataclass
class Counts:
    """Requests for predictions: all, those that failed, and those that were late.

    `buckets` has the number of those that took at most so many seconds.
    """

    requests: float = 0.0
    failed: float = 0.0
    slow: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)

    def add(self, other: Counts, share: float = 1.0) -> None:
        """Add a share of other counts."""
        self.requests += share * other.requests
        self.failed += share * other.failed
        self.slow += share * other.slow
        for bound, count in other.buckets.items():
            self.buckets[bound] = self.buckets.get(bound, 0.0) + share * count

    def increase_since(self, before: Counts) -> Counts:
        """What was counted since then. A counter that is lower than before began again at 0."""
        return Counts(
            _increase(before.requests, self.requests),
            _increase(before.failed, self.failed),
            _increase(before.slow, self.slow),
            {bound: _increase(before.buckets.get(bound, 0.0), count) for bound, count in self.buckets.items()},
        )


@dataclass(frozen=True)
class ServiceMetrics:
    """What one server exports, by use case: counts since its start, and objectives."""

    counts: dict[str, Counts]
    objectives: dict[str, Objectives]


def parse(text: str, usecases: Collection[str]) -> ServiceMetrics:
    """Parse the text of `/metrics`, as far as it is about predictions of these use cases.

    Raises:
        ServiceError: it is not in Prometheus' format.
    """
    counts: dict[str, Counts] = defaultdict(Counts)
    gauges: dict[str, dict[str, float]] = defaultdict(dict)
    try:
        for sample in _samples(text):
            usecase = sample.labels.get("usecase", "")
            if usecase not in usecases or not 0 <= sample.value < math.inf:
                continue
            if sample.name.startswith(_OBJECTIVE):
                gauges[usecase][sample.name.removeprefix(_OBJECTIVE)] = sample.value
            else:
                _count(counts[usecase], sample)
    except (ValueError, KeyError, IndexError):
        raise ServiceError("its /metrics is not in Prometheus' text format") from None
    objectives = {usecase: found for usecase, values in gauges.items() if (found := _objectives(values))}
    return ServiceMetrics(dict(counts), objectives)


def _samples(text: str) -> Iterator[Sample]:
    """Parse the lines that are read here alone: the parser needs some 50 µs for each."""
    lines = (line for line in text.splitlines() if _is_read(line))
    for family in text_string_to_metric_families("\n".join(lines)):
        yield from family.samples


def _is_read(line: str) -> bool:
    return line.startswith(_OBJECTIVE) or (line.startswith((_REQUESTS, _SLOW, _DURATIONS)) and _ROUTE in line)


def _count(counts: Counts, sample: Sample) -> None:
    if sample.name == _DURATIONS:
        bound = float(sample.labels["le"])
        counts.buckets[bound] = counts.buckets.get(bound, 0.0) + sample.value
    elif sample.name == _SLOW:
        counts.slow += sample.value
    else:
        counts.requests += sample.value
        counts.failed += sample.value if sample.labels["code"].startswith("5") else 0.0


def _objectives(values: dict[str, float]) -> Objectives | None:
    """None where one is missing, or has a value that no use case can have."""
    try:
        found = {
            "availability": values["availability_ratio"],
            "latency_ms": 1000 * values["latency_seconds"],
            "latency_quantile": values["latency_quantile"],
            "window_days": int(values["window_days"]),
        }
        return msgspec.convert(found, Objectives)
    except (KeyError, ValueError):
        return None


def _increase(before: float, now: float) -> float:
    return now - before if now >= before else now
