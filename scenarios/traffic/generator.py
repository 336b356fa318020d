"""Realistic traffic: rows of the champion's holdout, none of them twice, or of a file, sent one by one over HTTP at a
steady rate.

    report = send("digits", rows=200, rate=50, drift="brightness", labels=0.5, label_delay=10)
    report.failures, report.versions, report.latency_ms["p99"]

Rows are drawn without replacement, because a small set drawn with replacement is itself a drift that any test finds.
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
from scenarios.traffic.holdout_source import Drawn, Holdout
from scenarios.traffic.pacing import Outcome, send_each
from slipway.clients.service import ServiceClient
from slipway.contracts.schema import Feature, Schema
from slipway.errors import DataError, ServiceError
from slipway.settings import settings

if TYPE_CHECKING:
    from monitoring.labels.upload import Track

_SHOWN_REASONS = 3


@dataclass(frozen=True)
class Report:
    """What was sent and what came back; every answer but 200, and none at all, is a failure.

    `holdout_rows` is 0 where the rows were a file's.
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
        return asdict(self)


def send(
    usecase: str,
    url: str | None = None,
    rows: int | None = None,
    rate: float = 50.0,
    drift: str | None = None,
    feature: str | None = None,
    strength: float = 1.0,
    labels: float = 0.0,
    label_delay: float = 0.0,
    seed: int = 7,
    restart: bool = False,
    track: Track | None = None,
    file: Path | None = None,
) -> Report:
    """Sends `rows` rows (None: all that are left) at `rate` per second; labels of a share of them follow after a delay.

    The rows are the holdout's, or those of `file` in their order. Ctrl-C ends the sending: what was sent until then is
    the report.

    Raises:
        DataError: the kind of drift fits no feature, the holdout has no unsent rows left, or the file is not of rows.
        RegistryError: there is no champion, or its holdout cannot be fetched.
        ServiceError: the service does not answer at all.
    """
    url = url or settings().server_urls[0]
    _check_service(url, usecase)
    rng = np.random.default_rng(seed)
    source = _of_file(usecase, url, file, drift, labels) if file else holdout_source.of_champion(usecase)
    changed = drift_injection.choose(source.schema, drift, feature) if drift else None
    if file:
        drawn = Drawn(source.frame.head(len(source.frame) if rows is None else rows), 0)
    else:
        drawn = _next(source, rows, seed, restart, drift, strength, rng)
    frame = drift_injection.distorted(drawn.frame, changed, drift, strength, rng) if drift and changed else drawn.frame
    truths = _truths(source.schema, frame, labels, rng)
    late = DelayedLabels(usecase, url, label_delay)
    started = time.monotonic()
    try:
        with _until_interrupted() as stopped:
            sending = send_each(url, usecase, instances(source.schema, frame), rate, track, stopped)
            outcomes = [*_labelled(sending, truths, late)]
        seconds = round(time.monotonic() - started, 1)
        late.finish()
    except BaseException:
        late.give_up()
        raise
    sent = {"sent": late.sent, "failed": late.failed}
    name = changed.name if changed else None
    held_out = 0 if file else len(source.frame)
    return Report(usecase, url, *_summary(outcomes), seconds, drift, name, sent, held_out, drawn.left)


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, also where a shell has it ignored in the background; in the main thread only."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _of_file(usecase: str, url: str, file: Path, drift: str | None, labels: float) -> Holdout:
    """The file's rows with the schema that the service answers by."""
    schema = served_schema(usecase, url)
    frame = file_source.read(file, schema)
    if drift:
        raise DataError(f"--drift {drift}: the rows of a file are sent as they are. Leave --drift or --from out.")
    if labels and schema.target not in frame:
        raise DataError(f"--labels: {file} has no column {schema.target!r} to take labels from.")
    return Holdout(usecase, schema, frame, "")


def _next(
    source: Holdout,
    rows: int | None,
    seed: int,
    restart: bool,
    drift: str | None,
    strength: float,
    rng: np.random.Generator,
) -> Drawn:
    target = source.frame[source.schema.target]
    keep = drift_injection.favoured(target, source.schema, strength, rng) if drift == PRIOR else None
    return holdout_source.draw(source, rows, seed, restart, keep)


def instances(schema: Schema, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as a caller sends them: objects by feature name, null where missing, images as base64 PNG."""
    features = [feature for feature in schema.features if feature.name in frame.columns]
    columns = [[_value(cell, feature) for cell in frame[feature.name].tolist()] for feature in features]
    names = [feature.name for feature in features]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _value(cell: Any, feature: Feature) -> Any:
    if feature.kind == "image":
        return {"b64": base64.b64encode(cell).decode()}
    if cell is None or cell is pd.NA or cell != cell:
        return None
    if isinstance(cell, str):
        return cell
    return {"integer": int, "boolean": bool, "category": str}.get(feature.kind, float)(cell)


def _truths(schema: Schema, frame: pd.DataFrame, share: float, rng: np.random.Generator) -> dict[int, dict[str, Any]]:
    """The labels, as feedback, of a share of the rows that chance picks; by the row's place."""
    picked = np.flatnonzero(rng.random(len(frame)) < share)
    if not len(picked):
        return {}
    target = frame[schema.target].tolist()
    if schema.task == "regression":
        return {row: {"value": float(target[row])} for row in picked}
    return {row: {"label": str(target[row])} for row in picked}


def _check_service(url: str, usecase: str) -> None:
    """One clear error beats as many failures as there are rows."""
    client = ServiceClient(url)
    answer = client.get(f"/v1/models/{usecase}")
    client.close()
    if not answer.ok:
        raise ServiceError(f"{client.url} does not serve {usecase}: it answered {answer.problem}.")


def _labelled(outcomes: Iterable[Outcome], truths: dict[int, dict[str, Any]], late: DelayedLabels) -> Iterator[Outcome]:
    """Passes the outcomes on, and queues the label of each answered row that is to have one."""
    for outcome in outcomes:
        if outcome.id and outcome.row in truths:
            late.add({"id": outcome.id, **truths[outcome.row]})
        yield outcome


def _summary(outcomes: list[Outcome]) -> tuple[int, int, dict[str, int], dict[str, int], dict[str, float]]:
    """Rows sent, failures, the most common reasons, versions that answered, and their times in milliseconds."""
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.reason)
    versions = Counter(outcome.version for outcome in outcomes if not outcome.reason)
    times = [outcome.seconds * 1000 for outcome in outcomes if not outcome.reason]
    percentiles = np.percentile(times, [50, 99]) if times else ()
    latency = {name: round(float(value), 2) for name, value in zip(("p50", "p99"), percentiles, strict=False)}
    return len(outcomes), sum(reasons.values()), dict(reasons.most_common(_SHOWN_REASONS)), dict(versions), latency
