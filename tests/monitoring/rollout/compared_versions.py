"""Synthetic logs of a champion and a candidate, for tests of their comparison."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slipway.contracts.events import encoder, prediction_event
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.prediction_log import watched_loans as loans

SLICES = """
gates:
  slices:
    - {feature: age, bins: [45]}
    - {feature: job}
"""


def write_champion(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """Write a use case with slices, and the champion's bundle into the cache of monitoring; return its digest."""
    loans.write_usecase(folder / "usecases", patch)
    with (folder / "usecases" / "loans" / "usecase.yaml").open("a") as file:
        file.write(SLICES)
    digest = loans.write_bundle(folder / "bundle", loans.rows(50, seed=1))
    kept = settings().var / "monitor" / digest
    kept.parent.mkdir(parents=True)
    (folder / "bundle").rename(kept)
    return digest


def log(
    frame: pd.DataFrame, ids: list[str], digest: str, role: str, version: str, ms: float = 1.0, error: str | None = None
) -> None:
    """An event for each row; with `error` they are failures."""
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    context = encoder.EventEncoder(
        environment="local",
        usecase="loans",
        version=version,
        bundle_sha256=digest,
        role=role,
        answered=role != "shadow" and not error,
        timestamp=at,
        model_ms=ms,
        outcome="failure" if error else "success",
        error_type=error,
    )
    request = prediction_event.EventRequest("t" * 32, "r", 1)
    lines = []
    for row_id, row in zip(ids, frame.to_dict("records"), strict=True):
        answer = None if error else {"label": row["label"], "score": row["score"]}
        lines.append(context.encode_row(request, row_id, {"age": row["age"], "job": row["job"]}, answer=answer))
    writer = Writer(settings().spool, "loans", "prediction")
    assert writer.write(b"".join(lines))
    writer.close()


def ids(frame: pd.DataFrame) -> list[str]:
    """Rising with time, as the server's are."""
    return [f"{time.time_ns():024}-{number:06}-0" for number in range(len(frame))]


def shifted(frame: pd.DataFrame, where: pd.Series, by: float) -> pd.DataFrame:
    """The candidate's predictions: equal but for some rows, whose score is higher."""
    score = np.clip(frame["score"] + np.where(where, by, 0.0), 0, 1)
    return frame.assign(score=score, label=np.where(score >= 0.5, "bad", "good"))
