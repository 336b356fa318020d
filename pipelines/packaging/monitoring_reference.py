"""What monitoring compares traffic with: validation and holdout rows with predictions, and the tests' thresholds."""

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


def reference_rows(schema: Schema, sides: dict[str, pd.DataFrame], said: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """At most 50,000 rows of the sides: features as they are logged, truth, prediction, `side`; no key of any row.

    Where the world has changed, they are the validation rows since: what comes is to be like those.
    """
    if (lately := _lately(sides["validation"])) is not None:
        sides, said = ({"validation": found["validation"][lately].reset_index(drop=True)} for found in (sides, said))
    rows = pd.concat(
        [
            _logged(schema, frame).join(said[side][_predicted(schema)]).assign(side=side)
            for side, frame in sides.items()
        ],
        ignore_index=True,
    )
    return rows.sample(MOST_ROWS, random_state=_SEED).sort_index() if len(rows) > MOST_ROWS else rows


def thresholds(schema: Schema, monitoring: Monitoring) -> dict[str, Any]:
    """For each column: Kolmogorov-Smirnov and Wasserstein for numbers, chi-square and PSI for categories."""
    least = monitoring.minimum_effect.model_dump()
    numeric = {"method": "ks", "minimum_effect": {"measure": "wasserstein", "value": least["wasserstein"]}}
    other = {"method": "chi2", "minimum_effect": {"measure": "psi", "value": least["psi"]}}
    pinned = {name: numeric if kind in ("number", "integer") else other for name, kind in _columns(schema)}
    return {"significance": monitoring.significance, "minimum_effect": least, "features": pinned}


def _lately(validation: pd.DataFrame) -> pd.Series | None:
    """Which rows are from after a change; None where there was none, or they are too few to compare with."""
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


def _predicted(schema: Schema) -> list[str]:
    return ["value_true", "value"] if schema.task == "regression" else ["label_true", "label", "score"]


def _logged(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """The features as a prediction's event holds them; an image by its statistics."""
    columns: dict[str, Any] = {}
    for feature in schema.features:
        if feature.kind == "image":
            found = [image_statistics(decode_image(data, feature)) for data in frame[feature.name]]
            columns |= {f"{feature.name}_{name}": [part[name] for part in found] for name in IMAGE_STATISTICS}
        elif feature.private != "drop":
            columns[feature.name] = frame[feature.name].to_numpy()
    return pd.DataFrame(columns)
