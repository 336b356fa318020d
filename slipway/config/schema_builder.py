"""Builds the schema of a model's inputs from a use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.contracts.schema.model import CONTRACT, Feature, Schema, Split, bin_labels

if TYPE_CHECKING:
    from slipway.config import UseCase


def from_usecase(usecase: UseCase) -> Schema:
    """Build the schema of a use case; ranges and vocabularies that its file leaves out are None."""
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
