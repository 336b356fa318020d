"""A day of series of many models, as the text of which promtool makes a block of Prometheus for each two hours.

They are the metrics of `tests/grafana/sample_series.py`, with each bucket of a histogram and 20 features. Counters rise
by noise, since even steps would be smaller on disk, and faster to read, than what a server counts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from bentos.telemetry.metrics import DEFINITIONS
from tests.grafana.sample_series import OF_PROCESSES, OF_USECASES, Labels, Value, constant

DAY, BLOCK = 86_400, 7_200  # seconds
SCRAPE, SCRAPE_OF_WATCH = 15, 30
MODELS, SERVERS, FEATURES = 20, 2, 20
ROLES = {"1": "champion", "2": "canary", "3": "shadow"}  # by version
USECASES = [f"usecase_{number}" for number in range(MODELS)]
NAMESPACE = "production"
_INSTANCES = [f"10.0.0.{number}:3000" for number in range(SERVERS)]
_BUCKETS = {definition.name: [f"{bound:g}" for bound in definition.buckets] for definition in DEFINITIONS}
_MOST_BUCKETS = 1 + max(map(len, _BUCKETS.values()))


def block(start: int, first: int) -> Iterator[str]:
    """Yield the samples of two hours from `start` on, series by series; the day began at `first`."""
    for name, labels, value in _metrics():
        step = SCRAPE if _is_served(name) else SCRAPE_OF_WATCH
        rises = value(1) != value(0)
        for chosen in _combinations(name, labels):
            shown = ",".join(f'{label}="{one}"' for label, one in chosen.items())
            key = f"{name}{{{shown}}}"
            rank = _ranks(name).get(chosen.get("le", ""), len(key) % _MOST_BUCKETS)
            samples = _rising(start, first, step, rank) if rises else _constant(start, step, value(0))
            yield key + key.join(samples)
    yield "# EOF\n"


def count() -> int:
    """Count the series."""
    return sum(1 for name, labels, _ in _metrics() for _ in _combinations(name, labels))


def _metrics() -> Iterator[tuple[str, Labels, Value]]:
    """Yield each metric with its labels and their values, and what tells whether it rises."""
    for name, (labels, value) in OF_USECASES.items():
        of_server = {"instance": _INSTANCES} if _is_served(name) else {}
        yield name, {"namespace": NAMESPACE, "usecase": USECASES, **of_server, **labels}, value
    for name, (labels, value) in OF_PROCESSES.items():
        yield name, {"namespace": NAMESPACE, "instance": _INSTANCES, **labels}, value
    served = {"namespace": NAMESPACE, "usecase": USECASES, "instance": _INSTANCES, "version": "1", "role": "champion"}
    yield "slipway_model_info", served, constant(1)
    firing = {"alertstate": "firing", "severity": "warning", "owner": "a@example.com"}
    yield "ALERTS", {**firing, "alertname": "SlipwayWatchdog"}, constant(1)
    yield "ALERTS", {**firing, "alertname": "SlipwayDrift", "namespace": NAMESPACE, "usecase": USECASES}, constant(1)


def _combinations(name: str, labels: Labels) -> Iterator[dict[str, str]]:
    """Yield the labels of each series of a metric: of every version in its role, and of every bucket and feature."""
    wide: dict[str, str | Sequence[str]] = dict(labels)
    wide |= {"feature": [f"feature_{number}" for number in range(FEATURES)]} if "feature" in labels else {}
    wide |= {"le": list(_ranks(name))} if "le" in labels else {}
    wide |= {"version": list(ROLES)} if "role" in labels else {}
    wide.pop("role", None)
    values = [[one] if isinstance(one, str) else one for one in wide.values()]
    for chosen in itertools.product(*values):
        found = dict(zip(wide, chosen, strict=True))
        yield found | ({"role": ROLES[found["version"]]} if "role" in labels else {})


def _ranks(name: str) -> Mapping[str, int]:
    """Return the buckets of a histogram with their order."""
    bounds = _BUCKETS.get(_family(name), [])
    return {bound: rank for rank, bound in enumerate([*bounds, "+Inf"])} if bounds else {}


def _is_served(name: str) -> bool:
    return _family(name) in _BUCKETS


def _family(name: str) -> str:
    return re.sub(r"_(total|bucket|count)$", "", name)


@lru_cache(maxsize=1)
def _counters() -> np.ndarray:
    """Return counters over the day by rank: each counts what the one before it counts, and more, as buckets do."""
    events = np.random.default_rng(0).poisson(3, size=(_MOST_BUCKETS, DAY // SCRAPE))
    return events.cumsum(axis=0).cumsum(axis=1)


@lru_cache(maxsize=256)
def _rising(start: int, first: int, step: int, rank: int) -> list[str]:
    times = range(start, start + BLOCK, step)
    return [f" {_counters()[rank, (time - first) // SCRAPE]} {time}\n" for time in times]


@lru_cache(maxsize=256)
def _constant(start: int, step: int, value: float) -> list[str]:
    return [f" {value} {time}\n" for time in range(start, start + BLOCK, step)]
