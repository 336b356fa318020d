"""Names that a use case may not give, because a column of Slipway's own tables has them, or another column of its."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.config.sections import Feature, Split, Target
from slipway.contracts.columns import of_image, reserved_prefix


def require_free_names(features: Sequence[Feature], target: Target, split: Split, retired: Sequence[str]) -> None:
    """Raise ValueError, with the key, for a name that meets another.

    A retired feature may have any name but that of a feature: its values are in no table.
    """
    names = [feature.name for feature in features]
    for place, given in {"features": names, "target": [target.name], "split": split.columns}.items():
        for name in given:
            _require_unreserved(place, name)
    for image in (feature.name for feature in features if feature.kind == "image"):
        if taken := sorted(set(of_image(image).values()) & set(names)):
            raise ValueError(f"features: {taken} are the statistics of the image {image!r} in monitoring: rename them")
    if both := sorted(set(retired) & set(names)):
        raise ValueError(f"retired: {both} are features, too; values of retired ones are ignored: name each once")


def _require_unreserved(place: str, name: str) -> None:
    if prefix := reserved_prefix(name):
        remedy = (
            "rename the column, in the source or in decode.py"
            if place == "split"
            else (f"choose another name, and give the source's in `column: {name}`")
        )
        raise ValueError(f"{place}: {name!r} begins with `{prefix}`, as the columns of Slipway do: {remedy}")
