"""Builds the schema of a model's inputs from a use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.contracts.schema.model import CONTRACT, Feature, Schema, Split, TableFormat, bin_labels

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
        table=table_format(usecase),
    )


def table_format(usecase: UseCase) -> TableFormat:
    """Build the format of a use case's source, which its bundles carry."""
    source, csv = usecase.source, usecase.source.csv
    columns = {feature.name: feature.column or feature.name for feature in usecase.features}
    columns[usecase.target.name] = usecase.target.column or usecase.target.name
    if source.format == "csv":  # a header's names are read without the blanks around them
        columns = {name: column.strip() for name, column in columns.items()}
    return TableFormat(
        format=source.format,
        separator=csv.separator,
        header=csv.header,
        columns=tuple(name.strip() for name in csv.columns),
        encoding=csv.encoding,
        decimal=csv.decimal,
        missing=tuple(source.missing),
        names={name: column for name, column in columns.items() if column != name},
        decoded=(usecase.folder / "decode.py").exists(),
    )
