"""Traffic generator: sends rows of the champion's holdout, none of them twice, or of a file, at a steady rate.

    report = send("digits", TrafficPlan(rows=200, rate=50, drift="brightness", labels=0.5, label_delay=10))
    report.failures, report.versions, report.latency_ms["p99"]

Rows are drawn without replacement, because a drift test detects a small set that is drawn with replacement.
"""

from __future__ import annotations

import base64
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.labels.upload import served_schema
from scenarios.traffic import drift_injection, file_source, holdout_source
from scenarios.traffic.delayed_labels import DelayedLabels
from scenarios.traffic.drift_injection import PRIOR
from scenarios.traffic.pacing import Outcome, send_each
from slipway.clients.service import ServiceClient
from slipway.config import decoder
from slipway.contracts.schema import Feature, Schema
from slipway.errors import DataError, ServiceError
from slipway.settings import settings
from slipway.tables.cells import LARGEST_EXACT_FLOAT

if TYPE_CHECKING:
    from monitoring.labels.upload import Track

_REASONS = 3


@dataclass(frozen=True)
class TrafficPlan:
    """Traffic to send: which rows, at which rate, with which drift and labels.

    The rows are the holdout's, `rows` of them (None: all that are left), or those of `file` in their order, decoded by
    the use case's decode.py if `decode`. `rate` is
    in rows per second. `strength` scales the drift of the kind `drift`. Labels of a share of `labels` of the rows
    follow after `label_delay` seconds.
    """

    rows: int | None = None
    rate: float = 50.0
    drift: str | None = None
    feature: str | None = None
    strength: float = 1.0
    labels: float = 0.0
    label_delay: float = 0.0
    seed: int = 7
    restart: bool = False
    file: Path | None = None
    decode: bool = False


@dataclass(frozen=True)
class Report:
    """Outcome of the traffic; every response but 200, and none at all, is a failure.

    `holdout_rows` is 0 if the rows came from a file.
    """

    usecase: str
    url: str
    sent: int
    failures: int
    reasons: dict[str, int]
    versions: dict[str, int]
    latency_ms: dict[str, float]
    seconds: float
    drift: str | None
    feature: str | None
    labels: dict[str, int]
    holdout_rows: int
    holdout_left: int

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to the document of `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class _Rows:
    """Rows to send: their schema, the feature that drifts, and how many the holdout has and has left."""

    schema: Schema
    frame: pd.DataFrame
    feature: Feature | None = None
    holdout_rows: int = 0
    holdout_left: int = 0


def send(usecase: str, plan: TrafficPlan, url: str | None = None, track: Track | None = None) -> Report:
    """Send the planned traffic to the service and report its outcome.

    Ctrl-C ends the traffic early; the report then covers what was sent.

    Raises:
        DataError: the kind of drift fits no feature, the holdout has no unsent rows left, or the file is not of rows.
        RegistryError: there is no champion, or its holdout cannot be fetched.
        ServiceError: the service does not respond at all.
    """
    url = url or settings().server_urls[0]
    _check_service(url, usecase)
    rng = np.random.default_rng(plan.seed)
    rows = _rows_of_file(usecase, url, plan.file, plan) if plan.file else _rows_of_holdout(usecase, plan, rng)
    labels = _labels(rows.schema, rows.frame, plan.labels, rng)
    delayed = DelayedLabels(usecase, url, plan.label_delay)
    started = time.monotonic()
    try:
        with _until_interrupted() as stopped:
            sending = send_each(url, usecase, instances(rows.schema, rows.frame), plan.rate, track, stopped)
            outcomes = [*_labelled(sending, labels, delayed)]
        seconds = round(time.monotonic() - started, 1)
        delayed.finish()
    except BaseException:
        delayed.cancel()
        raise
    counts = {"sent": delayed.sent, "failed": delayed.failed}
    feature = rows.feature.name if rows.feature else None
    summary = _summary(outcomes)
    return Report(usecase, url, *summary, seconds, plan.drift, feature, counts, rows.holdout_rows, rows.holdout_left)


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """Provide an event that Ctrl-C sets, even if a shell ignores it for background jobs; in the main thread only."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    previous = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, previous)


def _rows_of_file(usecase: str, url: str, file: Path, plan: TrafficPlan) -> _Rows:
    """Read the file's rows by the schema of the version that the service serves."""
    schema = served_schema(usecase, url)
    frame = file_source.read(file, schema, decoder(usecase) if plan.decode else None)
    if plan.drift:
        raise DataError(f"--drift {plan.drift}: the rows of a file are sent as they are. Leave --drift or --from out.")
    if plan.labels and schema.target not in frame:
        raise DataError(f"--labels: {file} has no column {schema.target!r} to take labels from.")
    if plan.labels and schema.task == "regression":
        _require_numbers(frame[schema.target], file)
    return _Rows(schema, frame.head(len(frame) if plan.rows is None else plan.rows))


def _require_numbers(target: pd.Series, file: Path) -> None:
    if texts := [cell for cell in target if isinstance(cell, str)]:
        raise DataError(f"--labels: {file} holds {texts[0]!r} in {target.name!r}, where a number is needed.")


def _rows_of_holdout(usecase: str, plan: TrafficPlan, rng: np.random.Generator) -> _Rows:
    """Draw the next rows of the champion's holdout, and inject the drift into them."""
    holdout = holdout_source.of_champion(usecase)
    schema = holdout.schema
    feature = drift_injection.choose_feature(schema, plan.drift, plan.feature) if plan.drift else None
    prior = plan.drift == PRIOR
    target = holdout.frame[schema.target]
    keep = drift_injection.prior_drift_mask(target, schema, plan.strength, rng) if prior else None
    drawn = holdout_source.draw(holdout, plan.rows, plan.seed, plan.restart, keep)
    frame = drawn.frame
    if plan.drift and feature:
        frame = drift_injection.inject(frame, feature, plan.drift, plan.strength, rng)
    return _Rows(schema, frame, feature, len(holdout.frame), drawn.left)


def instances(schema: Schema, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert rows to request instances: objects by feature name, null if missing, images as base64 PNG."""
    features = [feature for feature in schema.features if feature.name in frame.columns]
    columns = [[_value(cell, feature) for cell in frame[feature.name].tolist()] for feature in features]
    names = [feature.name for feature in features]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _value(cell: Any, feature: Feature) -> Any:
    if feature.kind == "image":
        return {"b64": base64.b64encode(cell).decode()}
    if cell is None or cell is pd.NA or cell != cell:
        return None
    if isinstance(cell, str) or not _is_of_kind(cell, feature):
        return cell
    kind = "number" if feature.bins else feature.kind
    return {"integer": int, "boolean": bool, "category": str}.get(kind, float)(cell)


def _is_of_kind(cell: Any, feature: Feature) -> bool:
    """Whether a number is a value of the feature; another one is sent as it is, for the service to refuse."""
    if feature.kind == "integer":
        return not cell % 1 and (not isinstance(cell, float) or abs(cell) <= LARGEST_EXACT_FLOAT)
    return feature.kind != "boolean" or isinstance(cell, bool | np.bool_)


def _labels(schema: Schema, frame: pd.DataFrame, share: float, rng: np.random.Generator) -> dict[int, dict[str, Any]]:
    """Draw the rows that get a label, and return their feedback by row index."""
    picked = np.flatnonzero(rng.random(len(frame)) < share)
    if not len(picked):
        return {}
    target = frame[schema.target].tolist()
    known = [row for row in picked if target[row] is not None]
    if schema.task == "regression":
        return {row: {"value": float(target[row])} for row in known}
    return {row: {"label": str(target[row])} for row in known}


def _check_service(url: str, usecase: str) -> None:
    """Raise one error if the service does not serve the use case, rather than report a failure per row."""
    client = ServiceClient(url)
    response = client.get(f"/v1/models/{usecase}")
    client.close()
    if not response.ok:
        raise ServiceError(f"{client.url} does not serve {usecase}: it answered {response.problem}.")


def _labelled(
    outcomes: Iterable[Outcome], labels: dict[int, dict[str, Any]], delayed: DelayedLabels
) -> Iterator[Outcome]:
    """Pass the outcomes on, and queue the label of each predicted row that has one."""
    for outcome in outcomes:
        if outcome.id and outcome.row in labels:
            delayed.add({"id": outcome.id, **labels[outcome.row]})
        yield outcome


def _summary(outcomes: list[Outcome]) -> tuple[int, int, dict[str, int], dict[str, int], dict[str, float]]:
    """Count rows sent, failures, the most common reasons and the versions, and take latency percentiles [ms]."""
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.reason)
    versions = Counter(outcome.version for outcome in outcomes if not outcome.reason)
    times = [outcome.seconds * 1000 for outcome in outcomes if not outcome.reason]
    percentiles = np.percentile(times, [50, 99]) if times else ()
    latency = {name: round(float(value), 2) for name, value in zip(("p50", "p99"), percentiles, strict=False)}
    return len(outcomes), sum(reasons.values()), dict(reasons.most_common(_REASONS)), dict(versions), latency
