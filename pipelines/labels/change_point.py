"""Change point detection: since when the champion predicts worse, by its losses on labelled predictions.

Its losses on the frozen holdout, followed by those on its own labelled predictions in the order of time, form a series.
The candidate for a change point is where the mean rises most, by the cumulative sums of Page (1954,
doi:10.1093/biomet/41.1-2.100). A permutation test gives the probability of such a rise by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from pipelines.artifacts import ChangePoint
from pipelines.data.dataset import encode_rows
from slipway.contracts import columns
from slipway.contracts.bundle import manifest
from slipway.inference import Predictor
from slipway.system import files

SIGNIFICANCE = 0.01
MIN_EFFECT = 0.2  # in standard deviations of the losses: Cohen's "small"
MIN_ROWS = 30
_MAX_ROWS = 20_000
_BATCH_ROWS = 1000
_PERMUTATIONS = 499
_SEED = 7


@dataclass(frozen=True)
class Rise:
    """Rise of the mean loss; `position` is the first row of the later series that belongs to the new mean."""

    position: int
    before: float
    after: float
    p: float


def detect_change(champion: Path, frozen: pd.DataFrame, rows: pd.DataFrame, source: str) -> ChangePoint | None:
    """Detect the change point since which the champion predicts worse; None if there is none.

    If the champion has not degraded, the change point of its own training stays, unless the source's digest `source`
    has changed. `rows` are labelled predictions in the order of time, of which only the champion's own are used.
    """
    if not champion.exists():
        return None
    facts = manifest.read_manifest(champion).facts
    earlier = (facts.get("production") or {}).get("change") if facts.get("data_sha256") == source else None
    known = msgspec.convert(earlier, ChangePoint | None)
    own = rows[rows[columns.BUNDLE_SHA256] == files.file_sha256(champion / manifest.MANIFEST)]
    predictor = Predictor(champion, "cpu")
    if own.empty or not _is_comparable(predictor, own) or not _is_comparable(predictor, frozen):
        return known
    # A champion trained since a change point predicts a holdout from before it worse from the start.
    found = find_rise(losses(predictor, frozen) if known is None else np.empty(0), losses(predictor, own))
    if found is None:
        return known
    first = own.iloc[found.position]
    return ChangePoint(
        at=first[columns.AT].isoformat(),
        before=found.before,
        after=found.after,
        p=found.p,
        seen_by=first[columns.VERSION],
    )


def losses(predictor: Predictor, frame: pd.DataFrame) -> np.ndarray:
    """Compute the loss of each row, float64 [n]: half its Brier score, or its absolute error."""
    rows = encode_rows(frame, predictor.schema)
    outputs = _outputs(predictor, rows.features, len(rows))
    if predictor.schema.task == "regression":
        return np.abs(outputs[:, 0].astype("float64") - rows.target)
    truth = np.eye(len(predictor.schema.classes))[rows.target]
    return ((outputs - truth) ** 2).sum(axis=1) / 2


def _outputs(predictor: Predictor, features: dict[str, np.ndarray], rows: int) -> np.ndarray:
    starts = range(0, rows, _BATCH_ROWS)
    parts = [predictor.run({name: part[at : at + _BATCH_ROWS] for name, part in features.items()}) for at in starts]
    return np.concatenate(parts)


def _is_comparable(predictor: Predictor, frame: pd.DataFrame) -> bool:
    """Whether the rows have the predictor's target, images and classes."""
    schema = predictor.schema
    if schema.target not in frame or not {feature.name for feature in schema.images} <= set(frame):
        return False
    return schema.task == "regression" or set(frame[schema.target]) <= set(schema.classes)


def find_rise(first: np.ndarray, later: np.ndarray) -> Rise | None:
    """Find where losses in `later` rise above all earlier ones, `first` included; None without a significant rise.

    At least 30 losses are on each side of it.
    """
    skipped = max(0, len(later) - _MAX_ROWS)
    series = np.concatenate([first, later[skipped:]]).astype("float64")
    start, end = max(len(first), MIN_ROWS), len(series) - MIN_ROWS
    spread = series.std()
    if end < start or not spread:
        return None
    positions = np.arange(start, end + 1)
    rises = _rises(series, positions)
    best = int(rises.argmax())
    cut = int(positions[best])
    before, after = float(series[:cut].mean()), float(series[cut:].mean())
    if (after - before) / spread < MIN_EFFECT:
        return None
    rng = np.random.default_rng(_SEED)
    as_high = sum(_rises(rng.permutation(series), positions).max() >= rises[best] for _ in range(_PERMUTATIONS))
    p = (1 + as_high) / (1 + _PERMUTATIONS)
    return Rise(cut - len(first) + skipped, before, after, float(p)) if p <= SIGNIFICANCE else None


def _rises(series: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the mean after minus the mean before each position, in units of its standard error up to a factor."""
    total, rows = series.sum(), len(series)
    before = np.cumsum(series)[positions - 1]
    return ((total - before) / (rows - positions) - before / positions) * np.sqrt(positions * (rows - positions) / rows)
