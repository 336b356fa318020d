"""Names that a use case may not give, because a column of Slipway's own tables has them, or another column of its."""

from __future__ import annotations

import re
from collections.abc import Sequence

from slipway.config.sections import Feature, Split, Target
from slipway.contracts.columns import of_image, reserved_prefix

_NO_KEY = re.compile(r'["\\\x00-\x1f]')  # msgspec, which reads requests, has no fields of such names


def require_free_names(features: Sequence[Feature], target: Target, split: Split, retired: Sequence[str]) -> None:
    """Raise ValueError, with the key, for a name that meets another.

    A retired feature may have any name but that of a feature: its values are in no table.
    """
    names = [feature.name for feature in features]
    for place, keys in {"features": names, "retired": retired}.items():
        for name in keys:
            _require_key(place, name)
    for place, given in {"features": names, "target": [target.name], "split": split.columns}.items():
        for name in given:
            _require_unreserved(place, name)
    for image in (feature.name for feature in features if feature.kind == "image"):
        if taken := sorted(set(of_image(image).values()) & set(names)):
            raise ValueError(f"features: {taken} are the statistics of the image {image!r} in monitoring: rename them")
    if both := sorted(set(retired) & set(names)):
        raise ValueError(f"retired: {both} are features, too; values of retired ones are ignored: name each once")


def require_hidden_target(features: Sequence[Feature], target: Target, split: Split) -> None:
    """Raise ValueError where a feature, or a column of the split, is the target, by its name or by its column."""
    columns = {feature.name: _column(feature) for feature in features}
    if target.name in columns:
        raise ValueError(f"the target {target.name!r} is a feature, too: the model would be told the answer")
    for name, column in columns.items():
        if column == _column(target):
            raise ValueError(
                f"the feature {name!r} is read from the column {column!r}, as the target is: the model would be told "
                "the answer"
            )
    for key in split.columns:
        if key == target.name or (key not in columns and key.strip() == _column(target)):
            raise ValueError(f"the split cannot go by the target {key!r}")


def _column(part: Feature | Target) -> str:
    """Return the source's column, without the blanks around it, which a CSV file's header may have."""
    return (part.column or part.name).strip()


def _require_key(place: str, name: str) -> None:
    if found := _NO_KEY.search(name):
        raise ValueError(
            f"{place}: {name!r} holds {found[0]!r}; no name in a request holds a quotation mark, a backslash or a "
            "control character: choose another name, and give the source's in `column`"
        )


def _require_unreserved(place: str, name: str) -> None:
    if prefix := reserved_prefix(name):
        remedy = (
            "rename the column, in the source or in decode.py"
            if place == "split"
            else (f"choose another name, and give the source's in `column: {name}`")
        )
        raise ValueError(f"{place}: {name!r} begins with `{prefix}`, as the columns of Slipway do: {remedy}")
