"""Naive model: a linear model of the same inputs and rows, which a network should beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.data.dataset import EncodedRows
from slipway.contracts.schema import Schema
from slipway.inference import FIRST


@dataclass(frozen=True)
class NaiveModel:
    """Name of a linear model and its `outputs` [n, k] for the evaluated rows, in the form of the network's outputs."""

    name: str
    outputs: np.ndarray


def fit_naive_model(schema: Schema, train: EncodedRows, evaluated: EncodedRows) -> NaiveModel | None:
    """Fit scikit-learn's LogisticRegression, or Ridge for a regression; None for images, where they are weak."""
    if schema.images:
        return None
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    medians = _medians(train)
    columns, others = _columns(schema, train, medians), _columns(schema, evaluated, medians)
    if schema.task == "regression":
        model = make_pipeline(StandardScaler(), Ridge()).fit(columns, train.target)
        return NaiveModel("Ridge", model.predict(others)[:, None])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(columns, train.target)
    outputs = np.zeros((len(others), len(schema.classes)))
    outputs[:, model.classes_] = model.predict_proba(others)
    return NaiveModel("LogisticRegression", outputs)


def _medians(train: EncodedRows) -> np.ndarray:
    columns = train.features.get("numbers", np.empty((0, 0))).T
    return np.array([np.nanmedian(column) if not np.isnan(column).all() else 0.0 for column in columns])


def _columns(schema: Schema, rows: EncodedRows, medians: np.ndarray) -> np.ndarray:
    """Return numbers with missing ones imputed by the median, indicators of that, and one column per category."""
    found: list[np.ndarray] = []
    if schema.numbers:
        numbers = rows.features["numbers"]
        found += [np.where(np.isnan(numbers), medians, numbers), np.isnan(numbers)]
    for index, feature in enumerate(schema.codes):
        codes = rows.features["codes"][:, index]
        found.append(codes[:, None] == np.arange(FIRST + len(feature.vocabulary or (False, True))))
    return np.concatenate(found, axis=1).astype("float64")
