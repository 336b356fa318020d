"""Rows with what the network says of them, as a table: the reference's columns and the outputs that they come from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slipway.config import Cost
from slipway.contracts.schema import Schema
from slipway.evaluation.metrics import Scored, scored
from slipway.inference import decode


def to_table(schema: Schema, truth: np.ndarray, outputs: np.ndarray) -> pd.DataFrame:
    """`label_true`, `label`, `score` and a `probability.CLASS` for each; in a regression `value_true` and `value`."""
    said = decode(schema, outputs)
    if schema.task == "regression":
        return pd.DataFrame({"value_true": truth, "value": [prediction.value for prediction in said]})
    columns = {
        "label_true": [schema.classes[k] for k in truth],
        "label": [prediction.label for prediction in said],
        "score": [prediction.score for prediction in said],
    }
    return pd.DataFrame(columns | {f"probability.{name}": outputs[:, k] for k, name in enumerate(schema.classes)})


def to_scored(schema: Schema, cost: Cost | None, frame: pd.DataFrame) -> Scored:
    """`table`'s rows as the metrics take them."""
    if schema.task == "regression":
        return scored(schema, cost, frame["value_true"].to_numpy(), frame[["value"]].to_numpy("float32"))
    truth = frame["label_true"].map({name: k for k, name in enumerate(schema.classes)}).to_numpy("int64")
    outputs = frame[[f"probability.{name}" for name in schema.classes]].to_numpy("float32")
    return scored(schema, cost, truth, outputs)
