"""Encoders of numbers and categories of the default network, with constants from the training rows."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from pipelines.modeling.networks.layers import CodeEncoding, NumberEncoding
from slipway.inference import FIRST
from slipway.model_api import Inputs


def numbers(source: keras.KerasTensor, inputs: Inputs, params: dict[str, Any]) -> keras.KerasTensor:
    """Encode numbers with the medians and quantiles of the training rows."""
    rows = inputs.features["numbers"]
    pieces = max(2, min(params["bins"], round(math.sqrt(len(rows)) / 2)))
    columns = [column[~np.isnan(column)] for column in rows.T]
    layer = NumberEncoding(
        medians=[np.median(column) if len(column) else 0.0 for column in columns],
        edges=[quantile_edges(column, pieces) for column in columns],
        frequencies=params["frequencies"],
        sigma=params["sigma"],
        width=params["number_width"],
        name="number_encoding",
    )
    return layer(source)


def codes(source: keras.KerasTensor, inputs: Inputs, params: dict[str, Any]) -> keras.KerasTensor:
    """Encode categories and booleans by embeddings."""
    sizes = [FIRST + (2 if f.kind == "boolean" else len(f.vocabulary or ())) for f in inputs.schema.codes]
    return CodeEncoding(sizes, params["unknown_rate"], name="code_encoding")(source)


def quantile_edges(column: np.ndarray, pieces: int) -> np.ndarray:
    """Return ascending float32 edges at quantiles; a column with few distinct values has an edge at each.

    A constant or empty column has one edge and so no pieces: only whether it is missing carries information.
    """
    distinct = np.unique(column)
    if len(distinct) <= pieces:
        return distinct if len(distinct) else np.zeros(1, "float32")
    return np.unique(np.quantile(column.astype("float64"), np.linspace(0, 1, pieces + 1)).astype("float32"))
