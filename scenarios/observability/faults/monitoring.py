"""Faults that monitors find, and faults of the monitors and the watch themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitoring.analysis import verdict
from scenarios.observability.deployment import Deployment
from scenarios.observability.faults.fault import fault
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import MONITOR
from slipway.timestamps import iso

_LATE = timedelta(hours=1)
_UNLABELLED_SECONDS = 8.0


@fault("labels stay away", "SlipwayLabelCoverageLow")
def few_labels(deployment: Deployment) -> Iterator[None]:
    since = iso(datetime.now(UTC))  # after the labelled rows of before
    time.sleep(_UNLABELLED_SECONDS)
    deployment.monitor("--since", since)
    yield
    labelled_monitor(deployment)


@fault("applicants are others, and their labels follow another rule", "SlipwayDrift", "SlipwayQualityLow")
def changed_population(deployment: Deployment) -> Iterator[None]:
    labelled_monitor(deployment, changed=True)
    yield
    labelled_monitor(deployment)


@fault("a monitor is given the bundle of another version", "SlipwayPipelineFailed")
def failing_monitor(deployment: Deployment) -> Iterator[None]:
    folder = deployment.services.var / "no-bundle"
    folder.mkdir(exist_ok=True)
    deployment.monitor("--bundle", str(folder))
    yield
    labelled_monitor(deployment)


@fault("the last verdict and run are an hour old", "SlipwayVerdictOverdue", "SlipwayPipelineOverdue")
def monitor_overdue(deployment: Deployment) -> Iterator[None]:
    root, name = Path(settings().log_root), deployment.name
    then = iso(datetime.now(UTC) - _LATE)
    verdicts = root / verdict.folder(settings(), name) / verdict.LATEST
    runs = root / pipeline_runs.object_name(settings(), name, MONITOR)
    before = {path: path.read_text() for path in (verdicts, runs)}
    _change(verdicts, lambda found: {**found, "created": then})
    _change(runs, lambda found: {**found, "ended": dict.fromkeys(found["ended"], then)})
    yield
    for path, text in before.items():
        path.write_text(text)


@fault("the watch is stopped", "SlipwayWatchDown")
def watch_stopped(deployment: Deployment) -> Iterator[None]:
    deployment.stack.stop("watch")
    yield
    deployment.start("watch")


def labelled_monitor(deployment: Deployment, changed: bool = False) -> None:
    """Send labelled rows, and monitor the predictions since then, as soon as they are shipped."""
    since = iso(datetime.now(UTC))
    deployment.load.burst(changed)
    deployment.monitor("--since", since)


def _change(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
