"""Reference data of monitoring: validation and holdout rows with predictions, and the thresholds of drift tests."""

from __future__ import annotations

from typing import Any

import pandas as pd

from slipway.config import Monitoring
from slipway.contracts.schema import IMAGE_STATISTICS, Schema
from slipway.inference import decode_image, image_statistics

MOST_ROWS = 50_000
LEAST_ROWS = 100
_SEED = 7
_PREDICTION = "prediction."


def reference_rows(
    schema: Schema, sides: dict[str, pd.DataFrame], predictions: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return at most 50,000 rows: features as logged, true label, prediction and `side`, without row keys.

    After a change point these are the validation rows since then, as they describe the current population.
    """
    if (recent := _since_change(sides["validation"])) is not None:
        sides, predictions = (
            {"validation": frames["validation"][recent].reset_index(drop=True)} for frames in (sides, predictions)
        )
    rows = pd.concat(
        [
            _logged(schema, frame).join(predictions[side][_prediction_columns(schema)]).assign(side=side)
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
    if "weight" not in validation:
        return None
    since = validation["weight"] == validation["weight"].max()
    return since if since.sum() >= LEAST_ROWS else None


def _columns(schema: Schema) -> list[tuple[str, str]]:
    columns: list[tuple[str, str]] = []
    for feature in schema.features:
        if feature.kind == "image":
            columns += [(f"{feature.name}_{statistic}", "number") for statistic in IMAGE_STATISTICS]
        elif feature.private != "drop":
            columns.append((feature.name, feature.kind))
    if schema.task == "regression":
        return [*columns, (f"{_PREDICTION}value", "number")]
    return [*columns, (f"{_PREDICTION}label", "category"), (f"{_PREDICTION}score", "number")]


def _prediction_columns(schema: Schema) -> list[str]:
    return ["value_true", "value"] if schema.task == "regression" else ["label_true", "label", "score"]


def _logged(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the features as prediction events hold them; an image as its statistics."""
    columns: dict[str, Any] = {}
    for feature in schema.features:
        if feature.kind == "image":
            found = [image_statistics(decode_image(data, feature)) for data in frame[feature.name]]
            columns |= {f"{feature.name}_{name}": [part[name] for part in found] for name in IMAGE_STATISTICS}
        elif feature.private != "drop":
            columns[feature.name] = frame[feature.name].to_numpy()
    return pd.DataFrame(columns)
