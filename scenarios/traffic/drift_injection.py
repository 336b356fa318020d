"""Drift injection: each kind changes one feature of the rows, or which rows are drawn.

    fitting_kinds(schema.by_name["age"])                       # ["shift", "scale", "missing", "noise"]
    inject(rows, schema.by_name["age"], "shift", 1.0, rng)

A kind applies only to features that it fits: a value that the service rejects would be an invalid request, not drift.
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
_SKIPPED = 0.75  # share of the rows outside the preferred class that are skipped, at strength 1

Column = pd.Series
Change = Callable[[Column, Feature, float, np.random.Generator], Column]


def shift(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Add `strength` standard deviations."""
    return _numeric(column + strength * column.std(), feature)


def scale(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Multiply by `1 + strength`: another unit, or a sensor's gain."""
    return _numeric(column * (1 + strength), feature)


def noise(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Add normal noise of `strength` standard deviations; to pixels, of `strength` × 64 levels."""
    if feature.kind == "image":
        return column.map(lambda png: _change_pixels(png, feature, lambda x: x + rng.normal(0, 64 * strength, x.shape)))
    return _numeric(column + rng.normal(0, strength * column.std(), len(column)), feature)


def brightness(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Make every pixel brighter by `strength` × 64 levels of 255."""
    return column.map(lambda png: _change_pixels(png, feature, lambda x: x + 64 * strength))


def missing(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Drop the value in `strength` × 30 % of the rows."""
    return column.astype(object).mask(_chosen(column, strength, rng), None)


def new_category(column: Column, feature: Feature, strength: float, rng: np.random.Generator) -> Column:
    """Replace the value by a category unknown to the training in `strength` × 30 % of the rows."""
    return column.astype(object).mask(_chosen(column, strength, rng), UNSEEN)


NUMBERS = ("number", "integer")
_FITS: dict[str, tuple[Change, Callable[[Feature], bool]]] = {
    "shift": (shift, lambda feature: feature.kind in NUMBERS),
    "scale": (scale, lambda feature: feature.kind in NUMBERS),
    "missing": (missing, lambda feature: feature.nullable),
    "new-category": (new_category, lambda feature: feature.kind == "category"),
    "noise": (noise, lambda feature: feature.kind in (*NUMBERS, "image")),
    "brightness": (brightness, lambda feature: feature.kind == "image"),
}
KINDS = (*_FITS, PRIOR)


def fitting_kinds(feature: Feature) -> list[str]:
    """List the kinds of drift that fit a feature; none fits a private one, whose raw values are unknown here."""
    return [] if feature.private else [kind for kind, (_, fits) in _FITS.items() if fits(feature)]


def choose_feature(schema: Schema, kind: str, feature: str | None) -> Feature | None:
    """Choose the feature to change: the named one, or the first that the kind fits; None for `prior`.

    Raises:
        DataError: there is no such kind or feature, or they do not fit; the message names those that do.
    """
    if kind not in KINDS:
        raise DataError(f"no kind of drift {kind!r}.{suggestion(kind, KINDS)} There are: {', '.join(KINDS)}.")
    if kind == PRIOR:
        if feature is not None:
            raise DataError(f"prior drift is of the target and takes no feature, got {feature!r}. Leave --feature out.")
        return None
    if feature is not None:
        return _named(schema, kind, feature)
    fitting = [candidate for candidate in schema.inputs if kind in fitting_kinds(candidate)]
    if not fitting:
        possible = sorted({PRIOR, *(each for candidate in schema.inputs for each in fitting_kinds(candidate))})
        raise DataError(
            f"no feature of {schema.usecase} can have {kind!r} drift. Kinds that fit: {', '.join(possible)}."
        )
    return fitting[0]


def inject(rows: pd.DataFrame, feature: Feature, kind: str, strength: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return new rows in which `feature` has drifted; the argument stays unchanged."""
    change, _ = _FITS[kind]
    drifted = rows.copy()
    drifted[feature.name] = change(rows[feature.name], feature, strength, rng)
    return drifted


def prior_drift_mask(target: Column, schema: Schema, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Choose the rows that prior drift draws, bool [n]: all of one class, and `1 - 0.75 × strength` of the others.

    The class is the positive one, or the last one; for a regression it is the rows above the median.
    """
    if schema.task == "regression":
        preferred = target > target.median()
    else:
        preferred = target.astype(str) == (schema.positive or schema.classes[-1])
    return preferred.to_numpy() | (rng.random(len(target)) >= _SKIPPED * strength)


def _named(schema: Schema, kind: str, name: str) -> Feature:
    feature = schema.by_name.get(name)
    if feature is None:
        known = [candidate.name for candidate in schema.inputs]
        raise DataError(
            f"{schema.usecase} has no feature {name!r}.{suggestion(name, known)} It has: {', '.join(known)}."
        )
    fitting = fitting_kinds(feature)
    if kind not in fitting:
        what = f"private ({feature.private})" if feature.private else f"a {feature.kind}"
        null = "" if feature.nullable else " that is never null"
        allowed = ", ".join(fitting) or "none; `prior` needs no feature"
        raise DataError(f"{name} is {what}{null}: {kind!r} drift does not fit it. Kinds that fit: {allowed}.")
    return feature


def _numeric(column: Column, feature: Feature) -> Column:
    return column.round() if feature.kind == "integer" else column


def _chosen(column: Column, strength: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(column)) < SHARE * strength


def _change_pixels(png: bytes, feature: Feature, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Change the pixels (float64 [h, w, c], 0 to 255) of a PNG."""
    from slipway.inference import decode_image, encode_png

    pixels = change(decode_image(png, feature).astype(float))
    return encode_png(np.clip(pixels, 0, 255).astype(np.uint8))
