"""Reference data of monitoring: validation and holdout rows with predictions, and the thresholds of drift tests."""

from __future__ import annotations

from typing import Any

import pandas as pd

from slipway.config import Monitoring
from slipway.contracts import columns
from slipway.contracts.schema import Schema
from slipway.inference import decode_image, image_statistics

MOST_ROWS = 50_000
LEAST_ROWS = 100
_SEED = 7


def reference_rows(
    schema: Schema, sides: dict[str, pd.DataFrame], predictions: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return at most 50,000 rows: features as logged, true label, prediction and `SIDE`, without row keys.

    After a change point these are the validation rows since then, as they describe the current population.
    """
    if (recent := _since_change(sides["validation"])) is not None:
        sides, predictions = (
            {"validation": frames["validation"][recent].reset_index(drop=True)} for frames in (sides, predictions)
        )
    rows = pd.concat(
        [
            _logged(schema, frame).join(_predictions(schema, predictions[side])).assign(**{columns.SIDE: side})
            for side, frame in sides.items()
        ],
        ignore_index=True,
    )
    return rows.sample(MOST_ROWS, random_state=_SEED).sort_index() if len(rows) > MOST_ROWS else rows


def thresholds(schema: Schema, monitoring: Monitoring) -> dict[str, Any]:
    """Return the drift test of each column: Kolmogorov-Smirnov for numbers, chi-square for categories."""
    least = monitoring.minimum_effect.model_dump()
    numeric = {"method": "ks", "minimum_effect": {"measure": "wasserstein", "value": least["wasserstein"]}}
    other = {"method": "chi2", "minimum_effect": {"measure": "psi", "value": least["psi"]}}
    pinned = {name: numeric if kind in ("number", "integer") else other for name, kind in _columns(schema)}
    return {"significance": monitoring.significance, "minimum_effect": least, "features": pinned}


def _since_change(validation: pd.DataFrame) -> pd.Series | None:
    """Return which rows are from after a change point; None if there is none, or they are too few to compare with."""
    if columns.WEIGHT not in validation:
        return None
    since = validation[columns.WEIGHT] == validation[columns.WEIGHT].max()
    return since if since.sum() >= LEAST_ROWS else None


def _columns(schema: Schema) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for feature in schema.features:
        if feature.kind == "image":
            found += [(name, "number") for name in columns.of_image(feature.name).values()]
        elif feature.private != "drop":
            found.append((feature.name, feature.kind))
    predicted = {"value": "number"} if schema.task == "regression" else {"label": "category", "score": "number"}
    return [*found, *((f"{columns.PREDICTION}{name}", kind) for name, kind in predicted.items())]


def _predictions(schema: Schema, table: pd.DataFrame) -> pd.DataFrame:
    return table[[*columns.prediction_columns(schema.task)]].add_prefix(columns.PREDICTION)


def _logged(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the features as prediction events hold them; an image as its statistics."""
    found: dict[str, Any] = {}
    for feature in schema.features:
        if feature.kind == "image":
            statistics = [image_statistics(decode_image(data, feature)) for data in frame[feature.name]]
            named = columns.of_image(feature.name).items()
            found |= {column: [part[name] for part in statistics] for name, column in named}
        elif feature.private != "drop":
            found[feature.name] = frame[feature.name].to_numpy()
    return pd.DataFrame(found)
