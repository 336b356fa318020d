"""The parts of logged rows that usecase.yaml wants looked at on their own: `gates.slices`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slipway.contracts.schema import Schema, bin_labels

if TYPE_CHECKING:
    from slipway.config import Slice

MOST_VALUES = 12
_QUARTILES = [0.25, 0.5, 0.75]


@dataclass(frozen=True)
class Part:
    """`value` is a category, or an interval of a number; `rows` is a mask over the frame."""

    feature: str
    value: str
    rows: np.ndarray


def parts(declared: Sequence[Slice], schema: Schema, frame: pd.DataFrame) -> list[Part]:
    """Every declared slice of the rows, whose columns `part_0`, `part_1`, … hold its feature as text."""
    return [
        part
        for number, each in enumerate(declared)
        if each.feature in schema.by_name
        for part in _parts(each, schema.by_name[each.feature].kind, frame[f"part_{number}"])
    ]


def _parts(declared: Slice, kind: str, column: pd.Series) -> Iterator[Part]:
    """A number by its bins, or its quartiles here; a category by its commonest values."""
    if kind in ("number", "integer"):
        numbers = pd.to_numeric(column, errors="coerce")
        edges = declared.bins or sorted(set(numbers.quantile(_QUARTILES).dropna())) or [0.0]
        places = np.searchsorted(edges, numbers, side="right")
        for place, name in enumerate(bin_labels(edges)):
            yield Part(declared.feature, name, ((places == place) & numbers.notna()).to_numpy())
        return
    for value in sorted(column.value_counts().index[:MOST_VALUES]):
        yield Part(declared.feature, str(value), (column == value).to_numpy())
