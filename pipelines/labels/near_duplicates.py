"""Near-duplicates of the holdout: rows almost equal to one of it, so that training on them leaks it.

Two rows are near-duplicates if every category and boolean is equal (missing is a value, too), every number differs by
at most 1 % of its spread (between the 5th and the 95th percentile of the other rows), and every cell of an image's
8 × 8 grey thumbnail by at most 3 % of white. Equal rows are near-duplicates.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from slipway.contracts.schema import Feature, Schema
from slipway.inference import decode_image

NUMBER_SHARE = 0.01
PIXEL_SHARE = 0.03
_APART = 10.0  # in units of the largest distance of near-duplicates: no two categories are
_MISSING = 1e9
_CELLS = 8


def near_duplicates(frame: pd.DataFrame, others: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return which rows of `frame` are near-duplicates of one of `others`, bool [n], by the inputs that both have."""
    from scipy.spatial import cKDTree

    features = [f for f in schema.inputs if f.name in frame and f.name in others]
    if not features or not len(others) or not len(frame):
        return np.zeros(len(frame), bool)
    parts = [_axes(frame[f.name], others[f.name], f) for f in features]
    points, references = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
    tree = cKDTree(np.unique(references, axis=0), compact_nodes=False, balanced_tree=False)
    distance, _ = tree.query(points, p=np.inf, distance_upper_bound=1.0 + 1e-9)
    return np.isfinite(distance)


def _axes(column: pd.Series, other: pd.Series, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """Return both columns as float64 [n, k]; near-duplicates are within a distance of 1 on every axis."""
    if feature.kind == "image":
        return _thumbnails(column, feature), _thumbnails(other, feature)
    if feature.kind in ("number", "integer"):
        numbers, others = column.to_numpy("float64"), other.to_numpy("float64")
        unit = NUMBER_SHARE * _spread(others)
        return _or_missing(numbers / unit), _or_missing(others / unit)
    codes, _ = pd.factorize(pd.concat([column, other]).astype(object), use_na_sentinel=True)
    axis = (codes * _APART)[:, None]
    return axis[: len(column)], axis[len(column) :]


def _or_missing(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), _MISSING, values)[:, None]


def _spread(values: np.ndarray) -> float:
    """Return the spread of the numbers; for a constant, so small that only equal numbers are near."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (0.0, 0.0)
    return float(high - low) or 1e-6


def _thumbnails(column: pd.Series, feature: Feature) -> np.ndarray:
    return np.array([_thumbnail(data, feature) for data in column]).reshape(len(column), -1) / (255 * PIXEL_SHARE)


def _thumbnail(data: bytes, feature: Feature) -> np.ndarray:
    grey = decode_image(data, feature).mean(axis=2)
    return np.asarray(Image.fromarray(grey.astype("float32")).resize((_CELLS, _CELLS), Image.Resampling.BOX)).ravel()
