"""Perturbations of rows that do not change their label, such as noise and missing values.

Each function returns new, valid rows, or None if the schema has no feature that it applies to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from slipway.contracts.schema import Feature, Schema
from slipway.inference import Row

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
Perturb = Callable[[Sequence[Row], Schema, float, np.random.Generator], list[Row] | None]


def numbers(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Add normal noise of `size` standard deviations to every number, within its range; integers stay integers."""
    return _with_columns(rows, {f.name: _add_noise(column(rows, f.name), f, size, rng) for f in schema.numbers})


def missing(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Remove a share `size` of the values of each nullable feature."""
    features = [feature for feature in schema.inputs if feature.nullable and feature.kind != "image"]
    return _with_columns(rows, {f.name: _replace(column(rows, f.name), None, size, rng) for f in features})


def other(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Replace a share `size` of the categories by one that is not in the vocabulary."""
    features = [f for f in schema.codes if f.kind == "category" and f.private != "bucket"]
    return _with_columns(rows, {f.name: _replace(column(rows, f.name), UNKNOWN, size, rng) for f in features})


def noise(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Add normal noise of `size` × 255 to every pixel."""
    return _with_images(rows, schema, lambda pixels: pixels + rng.normal(0, size * 255, pixels.shape))


def brightness(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Make each image brighter or darker by the factor 1 ± `size`."""
    return _with_images(rows, schema, lambda pixels: pixels * (1 + rng.choice([-size, size])))


def rotation(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Rotate each image by `size` degrees in either direction."""

    def rotate(pixels: np.ndarray) -> np.ndarray:
        flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        angle = float(rng.choice([-size, size]))
        return np.asarray(Image.fromarray(flat).rotate(angle, Image.Resampling.BILINEAR)).reshape(pixels.shape)

    return _with_images(rows, schema, rotate)


PERTURBATIONS: Mapping[str, Perturb] = {
    "numbers": numbers,
    "missing": missing,
    "other": other,
    "noise": noise,
    "brightness": brightness,
    "rotation": rotation,
}


def column(rows: Sequence[Row], name: str) -> list:
    """Return the feature's value of each row."""
    return [row.get(name) for row in rows]


def _with_columns(rows: Sequence[Row], columns: Mapping[str, Sequence]) -> list[Row] | None:
    if not columns:
        return None
    return [{**row, **{name: values[k] for name, values in columns.items()}} for k, row in enumerate(rows)]


def _add_noise(values: list, feature: Feature, size: float, rng: np.random.Generator) -> list:
    known = np.array(values, "float64")  # None is NaN
    low, high = feature.range or (-np.inf, np.inf)
    spread = np.nanstd(known) if np.isfinite(known).any() else 0.0
    moved = known + rng.normal(0, size * spread, len(known))
    inside = np.clip(moved, np.fmin(low, known), np.fmax(high, known))
    exact = np.rint(inside) if feature.kind == "integer" else inside
    return [None if value is None else new for value, new in zip(values, exact.tolist(), strict=True)]


def _replace(values: list, by: str | None, share: float, rng: np.random.Generator) -> list:
    return [by if hit else value for value, hit in zip(values, rng.random(len(values)) < share, strict=True)]


def _with_images(rows: Sequence[Row], schema: Schema, change: Callable[[np.ndarray], np.ndarray]) -> list[Row] | None:
    def apply(pixels: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(change(pixels)), 0, 255).astype("uint8")

    return _with_columns(rows, {f.name: [apply(pixels) for pixels in column(rows, f.name)] for f in schema.images})
