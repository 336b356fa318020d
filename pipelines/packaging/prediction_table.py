"""Table of predictions: the columns of the monitoring reference, and the outputs they are computed from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slipway.config import Cost
from slipway.contracts.schema import Schema
from slipway.evaluation.metrics import Scored, scored
from slipway.inference import decode


def to_table(schema: Schema, truth: np.ndarray, outputs: np.ndarray) -> pd.DataFrame:
    """Return columns `label_true`, `label`, `score`, `probability.CLASS`; in a regression `value_true`, `value`."""
    predictions = decode(schema, outputs)
    if schema.task == "regression":
        return pd.DataFrame({"value_true": truth, "value": [prediction.value for prediction in predictions]})
    columns = {
        "label_true": [schema.classes[k] for k in truth],
        "label": [prediction.label for prediction in predictions],
        "score": [prediction.score for prediction in predictions],
    }
    return pd.DataFrame(columns | {f"probability.{name}": outputs[:, k] for k, name in enumerate(schema.classes)})


def to_scored(schema: Schema, cost: Cost | None, frame: pd.DataFrame) -> Scored:
    """Convert the table to scored rows, the input of metrics."""
    if schema.task == "regression":
        return scored(schema, cost, frame["value_true"].to_numpy(), frame[["value"]].to_numpy("float32"))
    truth = frame["label_true"].map({name: k for k, name in enumerate(schema.classes)}).to_numpy("int64")
    outputs = frame[[f"probability.{name}" for name in schema.classes]].to_numpy("float32")
    return scored(schema, cost, truth, outputs)
