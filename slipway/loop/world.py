"""The world of the loop: applicants who look as ever, and a rule that turns at one moment who of them repays.

Features come from the use case's own generator, with fresh seeds, so that there are as many rows as are wanted and none
of them twice. Before the change the label is the generator's; after it, the rule below decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.usecase import UseCase

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Contribution to the log-odds of `bad` after the change: what was a good sign is a bad one.
RULE: dict[str, dict[str, float]] = {
    "status": {
        "below 0 DM": -1.1,
        "0 to 200 DM": -0.7,
        "200 DM or more or salary assigned for a year": 0.6,
        "no checking account": 1.2,
    },
    "credit_history": {
        "no credits taken or all paid back duly": -1.0,
        "all credits at this bank paid back duly": -0.9,
        "existing credits paid back duly till now": -0.2,
        "critical account or credits at other banks": 0.9,
    },
    "savings": {
        "below 100 DM": -0.4,
        "100 to 500 DM": 0.0,
        "500 to 1000 DM": 0.5,
        "1000 DM or more": 0.9,
        "unknown or none": 0.7,
    },
    "employment": {"unemployed": -0.4, "below 1 year": -0.5, "4 to 7 years": 0.6, "7 years or more": 0.3},
}
PER_MONTH, USUAL_MONTHS = -0.045, 21.0
BASE = -1.1


def rows(usecase: UseCase, count: int, seed: int, changed: bool) -> pd.DataFrame:
    """`count` applicants with their labels, as callers and labellers see them: words, numbers, true and false."""
    import pandas as pd

    drawn = pd.concat(_applicants(usecase, count, seed), ignore_index=True).head(count)
    if changed:
        drawn[usecase.target.name] = _relabelled(drawn, usecase, seed)
    return drawn


def write(usecase: UseCase, path: Path, count: int, seed: int, changed: bool) -> Path:
    """The same as a Parquet file, for `slipway traffic --from`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows(usecase, count, seed, changed).to_parquet(path)
    return path


def _applicants(usecase: UseCase, count: int, seed: int) -> Iterator[pd.DataFrame]:
    """The generator's batches; seeds far from the training's own."""
    module, name = (usecase.source.generator or "").split(":")
    load, decode = usecase.function(module, name), usecase.function("decode", "decode")
    assert load and decode
    made = 0
    while made < count:
        batch = _typed(decode(load(1000 * seed + made)), usecase)
        made += len(batch)
        yield batch


def _typed(frame: pd.DataFrame, usecase: UseCase) -> pd.DataFrame:
    """The generator's text in the schema's kinds."""
    for feature in usecase.features:
        if feature.kind == "integer":
            frame[feature.name] = frame[feature.name].astype(int)
        elif feature.kind == "boolean":
            frame[feature.name] = frame[feature.name] == "true"
    return frame


def _relabelled(frame: pd.DataFrame, usecase: UseCase, seed: int) -> np.ndarray:
    import numpy as np

    odds = BASE + PER_MONTH * (frame["duration"].to_numpy(float) - USUAL_MONTHS)
    for name, effects in RULE.items():
        odds += frame[name].map(effects).fillna(0.0).to_numpy(float)
    is_bad = np.random.default_rng(seed).random(len(frame)) < 1 / (1 + np.exp(-odds))
    good = next(name for name in usecase.target.classes if name != usecase.target.positive)
    return np.where(is_bad, usecase.target.positive, good)
