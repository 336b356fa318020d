"""Disturbed rows: what the world does to inputs without changing what they mean. Seeded, and valid as requests are.

Each function gives new rows, or None where the schema has nothing that it disturbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from slipway.contracts.schema import Feature, Schema
from slipway.inference import Row

UNSEEN = "\N{REPLACEMENT CHARACTER}"
Perturb = Callable[[Sequence[Row], Schema, float, np.random.Generator], list[Row] | None]


def numbers(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Every number moved by normal noise of `size` standard deviations, within its range; integers stay integers."""
    return _each(rows, {f.name: _moved(column(rows, f.name), f, size, rng) for f in schema.numbers})


def missing(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """A share of the values missing, of each feature that may be missing."""
    features = [feature for feature in schema.inputs if feature.nullable and feature.kind != "image"]
    return _each(rows, {f.name: _replaced(column(rows, f.name), None, size, rng) for f in features})


def other(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """A share of the categories replaced by one that training has not seen."""
    features = [f for f in schema.codes if f.kind == "category" and f.private != "bucket"]
    return _each(rows, {f.name: _replaced(column(rows, f.name), UNSEEN, size, rng) for f in features})


def noise(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Normal noise on every pixel, of `size` × 255."""
    return _images(rows, schema, lambda pixels: pixels + rng.normal(0, size * 255, pixels.shape))


def brightness(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Each image brighter or darker by the factor 1 ± `size`."""
    return _images(rows, schema, lambda pixels: pixels * (1 + rng.choice([-size, size])))


def rotation(rows: Sequence[Row], schema: Schema, size: float, rng: np.random.Generator) -> list[Row] | None:
    """Each image turned by `size` degrees, one way or the other."""

    def turned(pixels: np.ndarray) -> np.ndarray:
        flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        angle = float(rng.choice([-size, size]))
        return np.asarray(Image.fromarray(flat).rotate(angle, Image.Resampling.BILINEAR)).reshape(pixels.shape)

    return _images(rows, schema, turned)


PERTURBATIONS: Mapping[str, Perturb] = {
    "numbers": numbers,
    "missing": missing,
    "other": other,
    "noise": noise,
    "brightness": brightness,
    "rotation": rotation,
}


def column(rows: Sequence[Row], name: str) -> list:
    return [row.get(name) for row in rows]


def _each(rows: Sequence[Row], columns: Mapping[str, Sequence]) -> list[Row] | None:
    if not columns:
        return None
    return [{**row, **{name: values[k] for name, values in columns.items()}} for k, row in enumerate(rows)]


def _moved(values: list, feature: Feature, size: float, rng: np.random.Generator) -> list:
    known = np.array(values, "float64")  # None is NaN
    low, high = feature.range or (-np.inf, np.inf)
    spread = np.nanstd(known) if np.isfinite(known).any() else 0.0
    moved = known + rng.normal(0, size * spread, len(known))
    inside = np.clip(moved, np.fmin(low, known), np.fmax(high, known))
    exact = np.rint(inside) if feature.kind == "integer" else inside
    return [None if value is None else new for value, new in zip(values, exact.tolist(), strict=True)]


def _replaced(values: list, by: str | None, share: float, rng: np.random.Generator) -> list:
    return [by if hit else value for value, hit in zip(values, rng.random(len(values)) < share, strict=True)]


def _images(rows: Sequence[Row], schema: Schema, change: Callable[[np.ndarray], np.ndarray]) -> list[Row] | None:
    def changed(pixels: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(change(pixels)), 0, 255).astype("uint8")

    return _each(rows, {f.name: [changed(pixels) for pixels in column(rows, f.name)] for f in schema.images})
