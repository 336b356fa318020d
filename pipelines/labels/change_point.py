"""The change: since when the champion has been answering worse than before, as far as labels tell.

Its losses on the frozen holdout, which it never saw, and then on each labelled prediction of its own, in the order of
time, are a series; the place where the mean rises most, by the cumulated sums of Page (1954,
doi:10.1093/biomet/41.1-2.100), is where the world's rule may have changed. Permutations of the series say how often
chance alone makes such a rise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.dataset import encode_rows
from slipway.contracts.bundle import manifest
from slipway.inference import Predictor
from slipway.system import files

SIGNIFICANCE = 0.01
LEAST_EFFECT = 0.2  # in standard deviations of the losses: Cohen's "small"
LEAST_ROWS = 30
_MOST_ROWS = 20_000
_AT_ONCE = 1000
_PERMUTATIONS = 499
_SEED = 7


@dataclass(frozen=True)
class Rise:
    """`place` is the first row of the later series that belongs to the new mean."""

    place: int
    before: float
    after: float
    p: float


def detect_change(champion: Path, frozen: pd.DataFrame, rows: pd.DataFrame, source: str) -> dict[str, Any] | None:
    """Since when (`at`), with the mean loss `before` and `after`, `p`, and `seen_by` the version that fell; else None.

    Where the champion has not fallen, the change that its own training found still holds, unless the `source` (its
    digest) is another by now. `rows` are labelled predictions in the order of time; those that the champion did not
    answer tell nothing of it.
    """
    if not champion.exists():
        return None
    facts = manifest.read_manifest(champion).facts
    known = (facts.get("production") or {}).get("change") if facts.get("data_sha256") == source else None
    own = rows[rows["bundle_sha256"] == files.file_sha256(champion / manifest.MANIFEST)]
    predictor = Predictor(champion, "cpu")
    if own.empty or not _answers(predictor, own) or not _answers(predictor, frozen):
        return known
    # A champion of the time since a change was never as good on a holdout from before it.
    found = find_rise(losses(predictor, frozen) if known is None else np.empty(0), losses(predictor, own))
    if found is None:
        return known
    first = own.iloc[found.place]
    told = {"before": found.before, "after": found.after, "p": found.p, "seen_by": first["version"]}
    return {"at": first["at"].isoformat(), **told}


def losses(predictor: Predictor, frame: pd.DataFrame) -> np.ndarray:
    """Of each row, float64 [n]: the Brier score's part in 0 to 1, or the distance from the value."""
    rows = encode_rows(frame, predictor.schema)
    outputs = _outputs(predictor, rows.features, len(rows))
    if predictor.schema.task == "regression":
        return np.abs(outputs[:, 0].astype("float64") - rows.target)
    truth = np.eye(len(predictor.schema.classes))[rows.target]
    return ((outputs - truth) ** 2).sum(axis=1) / 2


def _outputs(predictor: Predictor, features: dict[str, np.ndarray], rows: int) -> np.ndarray:
    starts = range(0, rows, _AT_ONCE)
    parts = [predictor.run({name: part[at : at + _AT_ONCE] for name, part in features.items()}) for at in starts]
    return np.concatenate(parts)


def _answers(predictor: Predictor, frame: pd.DataFrame) -> bool:
    """Whether the rows hold what it takes, and a truth that it knows."""
    schema = predictor.schema
    if schema.target not in frame or not {feature.name for feature in schema.images} <= set(frame):
        return False
    return schema.task == "regression" or set(frame[schema.target]) <= set(schema.classes)


def find_rise(first: np.ndarray, later: np.ndarray) -> Rise | None:
    """Where in `later` losses rose above all that came before, `first` included; None where they did not plainly.

    At least 30 losses lie on each side of it.
    """
    skipped = max(0, len(later) - _MOST_ROWS)
    series = np.concatenate([first, later[skipped:]]).astype("float64")
    start, end = max(len(first), LEAST_ROWS), len(series) - LEAST_ROWS
    spread = series.std()
    if end < start or not spread:
        return None
    places = np.arange(start, end + 1)
    rises = _rises(series, places)
    best = int(rises.argmax())
    cut = int(places[best])
    before, after = float(series[:cut].mean()), float(series[cut:].mean())
    if (after - before) / spread < LEAST_EFFECT:
        return None
    rng = np.random.default_rng(_SEED)
    as_high = sum(_rises(rng.permutation(series), places).max() >= rises[best] for _ in range(_PERMUTATIONS))
    p = (1 + as_high) / (1 + _PERMUTATIONS)
    return Rise(cut - len(first) + skipped, before, after, float(p)) if p <= SIGNIFICANCE else None


def _rises(series: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mean after minus mean before each place, in units of its standard error but for a factor."""
    total, rows = series.sum(), len(series)
    before = np.cumsum(series)[places - 1]
    return ((total - before) / (rows - places) - before / places) * np.sqrt(places * (rows - places) / rows)
