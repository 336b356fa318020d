"""Traffic as the demo sends it: `slipway traffic`, and how it sees from outside that requests flow."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from scenarios.harness.checks import Check
from scenarios.harness.jobs import Job
from slipway.config import UseCase
from slipway.errors import ServiceError
from slipway.settings import settings

RATE = 40  # rows a second
LABELS = 0.5
SOME_MORE = 1.2
FLOW_SECONDS = 60.0


def enough(usecase: UseCase) -> int:
    """Rows that are enough for a verdict."""
    return round(usecase.monitoring.min_rows * SOME_MORE)


def drift_for(usecase: UseCase) -> str:
    """A kind of drift that fits the use case, whatever its features are."""
    kinds = {feature.kind for feature in usecase.features if not feature.private}
    if "image" in kinds:
        return "brightness"
    return "shift" if kinds & {"number", "integer"} else "prior"


def arguments(usecase: UseCase, rows: int, seed: int, rate: float = RATE, drift: str | None = None) -> list[str]:
    given = {"--rows": rows, "--rate": rate, "--seed": seed, "--labels": LABELS, "--drift": drift}
    return ["traffic", usecase.name, *(str(part) for pair in given.items() if pair[1] is not None for part in pair)]


def answered(name: str, report: Mapping[str, Any]) -> Check:
    """Whether every request was answered."""
    times = report["latency_ms"]
    kind = f"{report['drift']} in {report['feature']}" if report["drift"] else "as in the holdout"
    seen = f"{report['sent']} sent, {report['failures']} failed, p99 {times.get('p99', float('nan')):.0f} ms"
    return Check(name, f"traffic {kind}", report["failures"] == 0 and report["sent"] > 0, seen)


def wait_for_flow(url: str, jobs: Mapping[str, Job]) -> None:
    """Return when the service has answered requests of every job since now.

    Raises:
        ServiceError: nothing was answered in a minute.
    """
    before = {name: count(url, name) for name in jobs}
    deadline = time.monotonic() + FLOW_SECONDS
    while any(count(url, name) <= before[name] for name in jobs):
        if time.monotonic() > deadline:
            raise ServiceError(f"{url} answered no traffic within {FLOW_SECONDS:.0f} s. See var/logs/demo-traffic.log.")
        time.sleep(0.2)


def count(url: str, name: str) -> float:
    """Predictions of a use case that the service has counted so far."""
    asked = urllib.request.Request(f"{url}/metrics", headers=settings().authorization)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        text = answer.read().decode()
    pattern = rf'^slipway_predictions_total{{[^}}]*usecase="{re.escape(name)}"[^}}]*}} (\S+)'
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))
