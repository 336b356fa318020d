"""Realistic traffic: rows of the champion's holdout, none of them twice, sent one by one over HTTP at a steady rate.

    report = send("digits", rows=200, rate=50, drift="brightness", labels=0.5, label_delay=10)
    report.failures, report.versions, report.latency_ms["p99"]

Rows are drawn without replacement, because a small set drawn with replacement is itself a drift that any test finds.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring import distort, holdout
from monitoring.distort import PRIOR
from monitoring.http_client import Client
from monitoring.late_labels import LateLabels
from slipway.errors import ServiceError
from slipway.schema import Feature, Schema
from slipway.settings import settings

if TYPE_CHECKING:
    from monitoring.feedback import Track

CONNECTIONS = 8
_SHOWN_REASONS = 3


@dataclass(frozen=True)
class Report:
    """What was sent and what came back; every answer but 200, and none at all, is a failure."""

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


@dataclass(frozen=True)
class _Outcome:
    """One answered or failed request; `id` names the prediction that a label may follow."""

    row: int
    seconds: float
    version: str = ""
    id: str = ""
    reason: str = ""


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
) -> Report:
    """Sends `rows` rows (None: all that are left) at `rate` per second; labels of a share of them follow after a delay.

    Raises:
        DataError: the kind of drift fits no feature, or the holdout has no unsent rows left.
        RegistryError: there is no champion, or its holdout cannot be fetched.
        ServiceError: the service does not answer at all.
    """
    url = url or settings().server_urls[0]
    _check_service(url, usecase)
    source = holdout.of_champion(usecase)
    rng = np.random.default_rng(seed)
    changed = distort.choose(source.schema, drift, feature) if drift else None
    keep = (
        distort.favoured(source.frame[source.schema.target], source.schema, strength, rng) if drift == PRIOR else None
    )
    drawn = holdout.draw(source, rows, seed, restart, keep)
    frame = distort.distorted(drawn.frame, changed, drift, strength, rng) if drift and changed else drawn.frame
    labelled = rng.random(len(frame)) < labels
    truths = {row: _truth(source.schema, frame[source.schema.target].iloc[row]) for row in np.flatnonzero(labelled)}
    late = LateLabels(usecase, url, label_delay)
    started = time.monotonic()
    try:
        outcomes = [*_labelled(_sent(url, usecase, instances(source.schema, frame), rate, track), truths, late)]
        seconds = time.monotonic() - started
        late.finish()
    except BaseException:
        late.give_up()
        raise
    return Report(
        usecase=usecase,
        url=url,
        **_summary(outcomes),
        seconds=round(seconds, 1),
        drift=drift,
        feature=changed.name if changed else None,
        labels={"sent": late.sent, "failed": late.failed},
        holdout_rows=len(source.frame),
        holdout_left=drawn.left,
    )


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


def _truth(schema: Schema, target: Any) -> dict[str, Any]:
    return {"value": float(target)} if schema.task == "regression" else {"label": str(target)}


def _check_service(url: str, usecase: str) -> None:
    """One clear error beats as many failures as there are rows."""
    client = Client(url)
    answer = client.get(f"/v1/models/{usecase}")
    client.close()
    if not answer.ok:
        raise ServiceError(f"{client.url} does not serve {usecase}: it answered {answer.problem}.")


def _sent(
    url: str, usecase: str, rows: Sequence[dict[str, Any]], rate: float, track: Track | None
) -> Iterator[_Outcome]:
    """Sends row i at i / rate seconds, over a few connections, whether or not the ones before were answered."""
    local, stopped = threading.local(), threading.Event()
    started = time.monotonic()
    path = f"/v1/models/{usecase}/predict"

    def one(row: int) -> _Outcome:
        if not hasattr(local, "client"):
            local.client = Client(url)
        if stopped.wait(max(0.0, started + row / rate - time.monotonic())):
            raise CancelledError
        return _request(local.client, path, row, rows[row])

    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        answered: Iterable[_Outcome] = pool.map(one, range(len(rows)))
        yield from track(answered, f"traffic to {usecase}", len(rows)) if track else answered
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _labelled(outcomes: Iterable[_Outcome], truths: dict[int, dict[str, Any]], late: LateLabels) -> Iterator[_Outcome]:
    """Passes the outcomes on, and queues the label of each answered row that is to have one."""
    for outcome in outcomes:
        if outcome.id and outcome.row in truths:
            late.add({"id": outcome.id, **truths[outcome.row]})
        yield outcome


def _request(client: Client, path: str, row: int, instance: dict[str, Any]) -> _Outcome:
    began = time.monotonic()
    try:
        answer = client.post(path, {"instances": [instance]})
    except ServiceError as error:
        return _Outcome(row, time.monotonic() - began, reason=str(error))
    seconds = time.monotonic() - began
    if answer.status != 200:
        return _Outcome(row, seconds, reason=answer.problem)
    try:
        return _Outcome(row, seconds, str(answer.document["model"]["version"]), answer.document["predictions"][0]["id"])
    except (TypeError, KeyError, IndexError):
        return _Outcome(row, seconds, reason="200, but not an answer of the form that is documented")


def _summary(outcomes: list[_Outcome]) -> dict[str, Any]:
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.reason)
    times = [outcome.seconds * 1000 for outcome in outcomes if not outcome.reason]
    p50, p99 = np.percentile(times, [50, 99]) if times else (float("nan"), float("nan"))
    return {
        "sent": len(outcomes),
        "failures": sum(reasons.values()),
        "reasons": dict(reasons.most_common(_SHOWN_REASONS)),
        "versions": dict(Counter(outcome.version for outcome in outcomes if not outcome.reason)),
        "latency_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)} if times else {},
    }
