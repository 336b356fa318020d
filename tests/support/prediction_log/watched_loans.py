"""Monitored use case without training or servers: its folder, a bundle with a reference, and logged predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from slipway import ids as ids_module
from slipway import timestamps
from slipway.contracts.bundle import manifest
from slipway.contracts.events import encoder, feedback_event, prediction_event
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support import bundles

USECASE_YAML = """
name: loans
owner: tests
task: binary
source: {generator: "data:load"}
features:
  - {name: age, kind: number, unit: years}
  - {name: visits, kind: integer, nullable: true}
  - {name: job, kind: category}
  - {name: member, kind: boolean, nullable: true}
target: {name: risk, classes: [good, bad], positive: bad}
monitoring: {window_rows: 2000, window_hours: 24, min_rows: 100}
"""


def rows(n: int, seed: int, **shift: float) -> pd.DataFrame:
    """Draw loans; `age` adds years, `missing` is the share without visits, `pilot` that of a new profession."""
    rng = np.random.default_rng(seed)
    job = rng.choice(["clerk", "nurse", "pilot"], n, p=[0.5, 0.3, 0.2]).astype(object)
    job[rng.random(n) < shift.get("astronaut", 0.0)] = "astronaut"
    visits = rng.poisson(3, n).astype(float)
    visits[rng.random(n) < shift.get("missing", 0.02)] = np.nan
    score = rng.beta(2, 5, n)
    return pd.DataFrame(
        {
            "age": rng.normal(45 + shift.get("age", 0.0), 12, n),
            "visits": visits,
            "job": job,
            "member": rng.random(n) < 0.4,
            "score": score,
            "label": np.where(score >= 0.5, "bad", "good"),
            "label_true": np.where(rng.random(n) < score, "bad", "good"),
        }
    )


def write_usecase(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "loans").mkdir(parents=True)
    (folder / "loans" / "usecase.yaml").write_text(USECASE_YAML)
    patch.setenv("SLIPWAY_USECASES", str(folder))
    settings.cache_clear()


def write_bundle(
    folder: Path, reference: pd.DataFrame, side: pd.Series | str = "holdout", usecase: str = "loans"
) -> str:
    """Write a complete bundle with that reference and return its digest."""
    bundles.write(folder, bundles.TABULAR)
    msgspec.structs.replace(bundles.TABULAR, usecase=usecase).save(folder / "serve" / "schema.json")
    reference.assign(side=side).to_parquet(folder / "monitor" / "reference.parquet")
    age = {"method": "ks", "minimum_effect": {"measure": "wasserstein", "value": 0.1}}
    (folder / "monitor" / "thresholds.json").write_text(json.dumps({"significance": 0.05, "features": {"age": age}}))
    (folder / manifest.MANIFEST).unlink()
    return manifest.write(folder, usecase, {})


def answer(
    frame: pd.DataFrame,
    digest: str,
    version: str = "1",
    minutes_ago: float = 5,
    usecase: str = "loans",
    caller: str | None = None,
) -> list[str]:
    """Log a prediction for each row and return their ids."""
    when = (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat().replace("+00:00", "Z")
    context = _context(usecase, digest, version, when)
    ids = [ids_module.row_id(ids_module.uuid7(), 0) for _ in range(len(frame))]
    request = prediction_event.EventRequest("t" * 32, "r", 1, caller)
    lines = []
    for row_id, row in zip(ids, frame.to_dict("records"), strict=True):
        features = {name: _json(row[name]) for name in ("age", "visits", "job", "member") if name in row}
        lines.append(
            context.encode_row(request, row_id, features, answer={"label": row["label"], "score": row["score"]})
        )
    _append(usecase, "prediction", b"".join(lines))
    return ids


def log_labels(
    ids: Sequence[str],
    labels: Iterable[str],
    usecase: str = "loans",
    known: str | None = None,
    caller: str | None = None,
) -> None:
    """Log the label of each prediction, sent now; `known` is when it became known."""
    now = timestamps.now_iso()
    lines = [
        feedback_event.feedback_line(
            environment="local",
            usecase=usecase,
            trace_id="t",
            timestamp=now,
            known_at=known or now,
            row=row,
            label=label,
            caller=caller,
        )[1]
        for row, label in zip(ids, labels, strict=True)
    ]
    _append(usecase, "feedback", b"".join(lines))


def _context(usecase: str, digest: str, version: str, when: str) -> encoder.EventEncoder:
    return encoder.EventEncoder(
        environment="local",
        usecase=usecase,
        version=version,
        bundle_sha256=digest,
        role="champion",
        answered=True,
        timestamp=when,
        model_ms=1.0,
    )


def _append(usecase: str, stream: str, lines: bytes) -> None:
    writer = Writer(settings().spool, usecase, stream)
    assert writer.write(lines)
    writer.close()


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
