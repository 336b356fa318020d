"""Baseline models: what a network is compared with, because a model that is not better need not be a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.data.dataset import EncodedRows
from slipway.contracts.schema import Schema
from slipway.inference import FIRST

Features = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class BaselineModel:
    """A simple model; `predict` maps encoded rows to outputs [n, k], in the form of the network's."""

    name: str
    predict: Callable[[Features], np.ndarray]


def fit_trivial(schema: Schema, target: np.ndarray, metric: str) -> BaselineModel:
    """Return the best model by the metric that knows no feature: always the share of each class, the mean or median."""
    if schema.task != "regression":
        output, name = np.bincount(target, minlength=len(schema.classes)) / len(target), "the shares of the classes"
    elif metric == "mae":
        output, name = np.array([np.median(target)], "float64"), "the median of the training rows"
    else:
        output, name = np.array([target.mean(dtype="float64")]), "the mean of the training rows"
    return BaselineModel(f"always predicting {name}", lambda features: np.tile(output, (_count(features), 1)))


def fit_linear(schema: Schema, train: EncodedRows) -> BaselineModel | None:
    """Fit scikit-learn's LogisticRegression, or Ridge for a regression; None for images, where they are weak."""
    if schema.images:
        return None
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    medians = _medians(train.features)
    columns = _columns(schema, train.features, medians)
    if schema.task == "regression":
        ridge = make_pipeline(StandardScaler(), Ridge()).fit(columns, train.target)
        return BaselineModel("Ridge", lambda rows: ridge.predict(_columns(schema, rows, medians))[:, None])
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(columns, train.target)

    def probabilities(features: Features) -> np.ndarray:
        outputs = np.zeros((_count(features), len(schema.classes)))
        outputs[:, logistic.classes_] = logistic.predict_proba(_columns(schema, features, medians))
        return outputs

    return BaselineModel("LogisticRegression", probabilities)


def _count(features: Features) -> int:
    return len(next(iter(features.values())))


def _medians(features: Features) -> np.ndarray:
    columns = features.get("numbers", np.empty((0, 0))).T
    return np.array([np.nanmedian(column) if not np.isnan(column).all() else 0.0 for column in columns])


def _columns(schema: Schema, features: Features, medians: np.ndarray) -> np.ndarray:
    """Return numbers with missing ones imputed by the median, indicators of that, and one column per category."""
    found: list[np.ndarray] = []
    if schema.numbers:
        numbers = features["numbers"]
        found += [np.where(np.isnan(numbers), medians, numbers), np.isnan(numbers)]
    for index, feature in enumerate(schema.codes):
        codes = features["codes"][:, index]
        found.append(codes[:, None] == np.arange(FIRST + len(feature.vocabulary or (False, True))))
    return np.concatenate(found, axis=1).astype("float64")
