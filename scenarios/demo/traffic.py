"""Traffic of the demo: arguments for `slipway traffic`, and the wait until the service answers it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from scenarios.harness.checks import Check
from scenarios.harness.jobs import Job
from slipway.clients import http
from slipway.config import UseCase
from slipway.errors import ServiceError
from slipway.settings import settings

RATE = 40  # rows a second
LABELS = 0.5
MARGIN = 1.2
FLOW_SECONDS = 60.0


def rows_for_verdict(usecase: UseCase) -> int:
    """Return how many rows are enough for a verdict."""
    return round(usecase.monitoring.min_rows * MARGIN)


def fitting_drift(usecase: UseCase) -> str:
    """Choose a kind of drift that fits the features of the use case."""
    kinds = {feature.kind for feature in usecase.features if not feature.private}
    if "image" in kinds:
        return "brightness"
    return "shift" if kinds & {"number", "integer"} else "prior"


def arguments(usecase: UseCase, rows: int, seed: int, rate: float = RATE, drift: str | None = None) -> list[str]:
    """Build the command line of `slipway traffic`."""
    options = {"--rows": rows, "--rate": rate, "--seed": seed, "--labels": LABELS, "--drift": drift}
    return ["traffic", usecase.name, *(str(part) for pair in options.items() if pair[1] is not None for part in pair)]


def check_answered(name: str, report: Mapping[str, Any]) -> Check:
    """Check that every request was answered."""
    times = report["latency_ms"]
    kind = f"{report['drift']} in {report['feature']}" if report["drift"] else "as in the holdout"
    observed = f"{report['sent']} sent, {report['failures']} failed, p99 {times.get('p99', float('nan')):.0f} ms"
    return Check(name, f"traffic {kind}", report["failures"] == 0 and report["sent"] > 0, observed)


def wait_for_flow(url: str, jobs: Mapping[str, Job]) -> None:
    """Wait until the service has answered requests of every job.

    Raises:
        ServiceError: a job had no answer within a minute.
    """
    before = {name: predictions_total(url, name) for name in jobs}
    deadline = time.monotonic() + FLOW_SECONDS
    while any(predictions_total(url, name) <= before[name] for name in jobs):
        if time.monotonic() > deadline:
            raise ServiceError(f"{url} answered no traffic within {FLOW_SECONDS:.0f} s. See var/logs/demo-traffic.log.")
        time.sleep(0.2)


def predictions_total(url: str, name: str) -> float:
    """Read how many predictions of a use case the service has counted so far."""
    text = http.request("GET", f"{url}/metrics", headers=settings().authorization).content.decode()
    pattern = rf'^slipway_predictions_total{{[^}}]*usecase="{re.escape(name)}"[^}}]*}} (\S+)'
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))
