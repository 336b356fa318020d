"""Drift on purpose: each kind changes one feature of rows, or which rows are drawn, as the world might.

    kinds_for(schema.by_name["age"])                       # ["shift", "scale", "missing", "noise"]
    distorted(rows, schema.by_name["age"], "shift", 1.0, rng)

A kind is only for features it fits: a value that the server refuses would be an error of the caller, not drift.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from slipway.contracts.schema import Feature, Schema
from slipway.errors import DataError, suggestion

UNSEEN = "unseen"
PRIOR = "prior"
SHARE = 0.3  # of the rows, where a kind changes some of them
_PASSED_OVER = 0.75  # of the rows outside the favoured half, at strength 1

Column = pd.Series
Distortion = Callable[[Column, Feature, float, np.random.Generator], Column]


def shift(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Adds `strength` standard deviations."""
    return _numeric(column + strength * column.std(), feature)


def scale(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Multiplies by `1 + strength`: another unit, or a sensor's gain."""
    return _numeric(column * (1 + strength), feature)


def noise(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Adds normal noise of `strength` standard deviations; to pixels, of `strength` × 64 levels."""
    if feature.kind == "image":
        return column.map(lambda png: _repainted(png, feature, lambda x: x + rng.normal(0, 64 * strength, x.shape)))
    return _numeric(column + rng.normal(0, strength * column.std(), len(column)), feature)


def brightness(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Makes every pixel brighter by `strength` × 64 levels of 255."""
    return column.map(lambda png: _repainted(png, feature, lambda x: x + 64 * strength))


def missing(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Drops the value in `strength` × 30 % of the rows."""
    return column.astype(object).mask(_some(column, strength, rng), None)


def new_category(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Writes a category that training never saw into `strength` × 30 % of the rows."""
    return column.astype(object).mask(_some(column, strength, rng), UNSEEN)


NUMBERS = ("number", "integer")
_FITS: dict[str, tuple[Distortion, Callable[[Feature], bool]]] = {
    "shift": (shift, lambda feature: feature.kind in NUMBERS),
    "scale": (scale, lambda feature: feature.kind in NUMBERS),
    "missing": (missing, lambda feature: feature.nullable),
    "new-category": (new_category, lambda feature: feature.kind == "category"),
    "noise": (noise, lambda feature: feature.kind in (*NUMBERS, "image")),
    "brightness": (brightness, lambda feature: feature.kind == "image"),
}
KINDS = (*_FITS, PRIOR)


def kinds_for(feature: Feature) -> list[str]:
    """The kinds of drift that fit a feature: none where it is private, whose raw values nobody here has."""
    return [] if feature.private else [kind for kind, (_, fits) in _FITS.items() if fits(feature)]


def choose(schema: Schema, kind: str, feature: str | None) -> Feature | None:
    """The feature to change: the named one, else the first that the kind fits; None for `prior`: that draws other rows.

    Raises:
        DataError: no such kind, no such feature, or they do not fit; the message names what does.
    """
    if kind not in KINDS:
        raise DataError(f"no kind of drift {kind!r}.{suggestion(kind, KINDS)} There are: {', '.join(KINDS)}.")
    if kind == PRIOR:
        if feature is not None:
            raise DataError(f"prior drift is of the target, it has no feature; {feature!r} came. Leave --feature out.")
        return None
    if feature is not None:
        return _named(schema, kind, feature)
    fitting = [candidate for candidate in schema.inputs if kind in kinds_for(candidate)]
    if not fitting:
        possible = sorted({PRIOR, *(each for candidate in schema.inputs for each in kinds_for(candidate))})
        raise DataError(
            f"no feature of {schema.usecase} can have {kind!r} drift. Kinds that fit: {', '.join(possible)}."
        )
    return fitting[0]


def distorted(
    rows: pd.DataFrame, feature: Feature, kind: str, strength: float, rng: np.random.Generator
) -> pd.DataFrame:
    """New rows in which `feature` has drifted; the given ones stay as they are."""
    change, _ = _FITS[kind]
    return rows.assign(**{feature.name: change(rows[feature.name], feature, strength, rng)})


def favoured(target: Column, schema: Schema, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Which rows prior drift draws, bool [n]: all of one side, and `1 - 0.75 × strength` of the others.

    The side is the positive class, the last class, or what lies above the median of a regression.
    """
    if schema.task == "regression":
        side = target > target.median()
    else:
        side = target.astype(str) == (schema.positive or schema.classes[-1])
    return side.to_numpy() | (rng.random(len(target)) >= _PASSED_OVER * strength)


def _named(schema: Schema, kind: str, name: str) -> Feature:
    feature = schema.by_name.get(name)
    if feature is None:
        known = [candidate.name for candidate in schema.inputs]
        raise DataError(
            f"{schema.usecase} has no feature {name!r}.{suggestion(name, known)} It has: {', '.join(known)}."
        )
    fitting = kinds_for(feature)
    if kind not in fitting:
        what = f"private ({feature.private})" if feature.private else f"a {feature.kind}"
        null = "" if feature.nullable else " that is never null"
        allowed = ", ".join(fitting) or "none; `prior` needs no feature"
        raise DataError(f"{name} is {what}{null}: {kind!r} drift does not fit it. Kinds that fit: {allowed}.")
    return feature


def _numeric(column: Column, feature: Feature) -> Column:
    return column.round() if feature.kind == "integer" else column


def _some(column: Column, strength: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(column)) < SHARE * strength


def _repainted(png: bytes, feature: Feature, paint: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """The image with its pixels (float64 [h, w, c], 0 to 255) changed, as a PNG again."""
    from slipway.inference import decode_image, encode_png

    pixels = paint(decode_image(png, feature).astype(float))
    return encode_png(np.clip(pixels, 0, 255).astype(np.uint8))
