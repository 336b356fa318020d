"""The shape of a model's inputs and answer: features, classes, threshold and split, as a bundle carries them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slipway.errors import BundleError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from slipway.config import UseCase

CONTRACT = 1
READABLE_CONTRACTS = (CONTRACT,)
IMAGE_STATISTICS = ("brightness", "contrast", "sharpness", "entropy")
_VOCABULARY_LIMIT = 1000


class Feature(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature as the network sees it: a bucketed number is a category from here on, its bins the vocabulary."""

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    range: tuple[float, float] | None = None
    vocabulary: tuple[str, ...] | None = None
    nullable: bool = False
    private: str | None = None
    bins: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None

    @property
    def is_input(self) -> bool:
        """Whether the network sees it: what is dropped or turned into a token is not."""
        return self.private not in ("drop", "token")


class Split(msgspec.Struct, frozen=True):
    key: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    salt: str = "slipway"
    fractions: dict[str, float] = msgspec.field(default_factory=dict)


class Schema(msgspec.Struct, frozen=True, dict=True):
    contract: int
    usecase: str
    task: str
    features: tuple[Feature, ...]
    target: str
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    unit: str = ""
    retired: tuple[str, ...] = ()
    split: Split = Split()
    synthetic: bool = False

    @cached_property
    def inputs(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.is_input)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind in ("number", "integer"))

    @cached_property
    def codes(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind in ("category", "boolean"))

    @cached_property
    def images(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.kind == "image")

    @cached_property
    def positive_index(self) -> int | None:
        return self.classes.index(self.positive) if self.positive else None

    @cached_property
    def masked(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.features if f.private)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """What makes a row's key, in the order of its text."""
        return tuple(sorted(self.split.key or (feature.name for feature in self.inputs)))

    @cached_property
    def told_by_row(self) -> bool:
        """Whether a caller's row holds all that makes its key."""
        return all(name in self.by_name for name in self.split.key)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all features, sorted: the order of a row's values, and of its JSON."""
        return tuple(sorted(feature.name for feature in self.features))

    @cached_property
    def plain(self) -> bool:
        """Whether a row is keyed and logged just as it came: nothing is masked, decoded, retired or left out."""
        return not (self.images or self.masked or self.retired) and self.key_names == self.names

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @staticmethod
    def load(path: Path) -> Schema:
        """Raises BundleError where the file is not a schema of a contract version that this release reads."""
        try:
            schema = msgspec.json.decode(path.read_bytes(), type=Schema)
        except (OSError, msgspec.DecodeError) as error:
            raise BundleError(f"{path} is not a schema: {error}") from None
        if schema.contract not in READABLE_CONTRACTS:
            raise BundleError(
                f"{path} is of contract version {schema.contract}; this release reads {list(READABLE_CONTRACTS)}: "
                "install a newer Slipway here, or train the model with this one."
            )
        return schema


def from_usecase(usecase: UseCase) -> Schema:
    """The schema as the use case's file tells it; ranges and vocabularies that it leaves out are None."""
    features = tuple(
        Feature(
            name=f.name,
            kind="category" if f.private == "bucket" else f.kind,
            unit=f.unit,
            description=f.description,
            range=None if f.private == "bucket" else f.range,
            vocabulary=bin_labels(f.bins) if f.bins else tuple(f.vocabulary) if f.vocabulary else None,
            nullable=f.nullable or f.private in ("drop", "token"),
            private=f.private,
            bins=tuple(f.bins) if f.bins else None,
            size=f.size,
            channels=f.channels,
        )
        for f in usecase.features
    )
    split = usecase.split
    return Schema(
        contract=CONTRACT,
        usecase=usecase.name,
        task=usecase.task,
        features=features,
        target=usecase.target.name,
        classes=tuple(usecase.target.classes),
        positive=usecase.target.positive,
        unit=usecase.target.unit,
        retired=tuple(usecase.retired),
        split=Split(tuple(split.key), split.group, split.time, split.salt, split.fractions.model_dump()),
    )


def complete(schema: Schema, frame: pd.DataFrame) -> Schema:
    """The schema with the ranges and vocabularies that were left out, as the training rows have them.

    Raises:
        DataError: a category has more than 1,000 values: free text, or a key.
    """
    return msgspec.structs.replace(schema, features=tuple(_completed(f, frame) for f in schema.features))


def _completed(feature: Feature, frame: pd.DataFrame) -> Feature:
    if feature.kind in ("number", "integer") and feature.range is None and feature.is_input:
        column = frame[feature.name].dropna()
        span = (float(column.min()), float(column.max())) if len(column) else None
        return msgspec.structs.replace(feature, range=span)
    if feature.kind == "category" and feature.vocabulary is None and feature.is_input:
        values = sorted(str(value) for value in frame[feature.name].dropna().unique())
        if len(values) > _VOCABULARY_LIMIT:
            raise DataError(
                f"{feature.name} has {len(values)} values, a category at most {_VOCABULARY_LIMIT}: "
                "is it free text, a date or a key? Leave it out, or group its values in clean.py."
            )
        return msgspec.structs.replace(feature, vocabulary=tuple(values))
    return feature


def compatible(old: Schema, new: Schema) -> list[str]:
    """Why a request that was valid under `old` could be refused under `new`; empty where none could.

    A feature that is added must be nullable, one that is removed retired; kinds, sizes and classes stay, and what
    could be null still can.
    """
    reasons = []
    if (old.task, old.classes, old.positive) != (new.task, new.classes, new.positive):
        reasons.append("task or classes differ")
    for feature in new.features:
        before = old.by_name.get(feature.name)
        if before is None:
            if not feature.nullable:
                reasons.append(f"{feature.name} is new and not nullable")
        elif _wire_form(before) != _wire_form(feature):
            reasons.append(f"{feature.name} was {before.kind} and is {feature.kind}")
        elif before.nullable and not feature.nullable:
            reasons.append(f"{feature.name} could be null and no longer can")
    gone = [f.name for f in old.features if f.name not in new.by_name] + list(old.retired)
    reasons += [
        f"{name} is gone and not retired" for name in gone if name not in new.retired and name not in new.by_name
    ]
    return reasons


def _wire_form(feature: Feature) -> tuple[Any, ...]:
    """What a caller may send: a bucketed number still comes as a number."""
    return feature.kind, bool(feature.bins), feature.size, feature.channels


def bin_labels(bins: Sequence[float]) -> tuple[str, ...]:
    """The names of the intervals between rising edges, open to both sides: `< 25`, `25 – 40`, `≥ 40`."""
    edges = [f"{edge:g}" for edge in bins]
    inner = [f"{low} – {high}" for low, high in zip(edges, edges[1:], strict=False)]
    return (f"< {edges[0]}", *inner, f"≥ {edges[-1]}")
