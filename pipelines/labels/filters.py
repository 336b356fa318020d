"""Optional filters of labelled predictions, which a use case switches on by name in `retraining.label_filters`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.artifacts import Disagreement
from pipelines.labels.labeler_agreement import find_disagreeing, within_share
from pipelines.labels.near_duplicates import near_duplicates
from slipway.config import UseCase
from slipway.contracts import columns
from slipway.contracts.schema import Schema
from slipway.errors import UseCaseError, suggestion

RowFilter = Callable[[pd.DataFrame, pd.DataFrame, Schema, UseCase], np.ndarray]


@dataclass(frozen=True)
class LabelFilter:
    """Filter of labelled predictions.

    `reject_rows` takes rows, the frozen holdout, its schema and the use case, and returns which rows to leave out,
    bool [n]; `reason` names these in `production.json`. `reject_callers`, if given, takes all labels and returns the
    callers whose labels count as never sent.
    """

    reason: str
    reject_rows: RowFilter
    reject_callers: Callable[[pd.DataFrame], list[Disagreement]] | None = None


def _near_holdout(rows: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, usecase: UseCase) -> np.ndarray:
    return near_duplicates(rows, holdout, schema)


def _above_share(rows: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, usecase: UseCase) -> np.ndarray:
    return ~within_share(rows[columns.CALLER], usecase.retraining.caller_share)


LABEL_FILTERS: Mapping[str, LabelFilter] = {
    "near_duplicates": LabelFilter("near-duplicate of the holdout", _near_holdout),
    "labeler_agreement": LabelFilter("caller's share", _above_share, find_disagreeing),
}


def enabled_filters(usecase: UseCase) -> list[LabelFilter]:
    """Return the use case's filters in the order of `LABEL_FILTERS`."""
    return [filter_ for name, filter_ in LABEL_FILTERS.items() if name in usecase.retraining.label_filters]


def require_known_filters(usecase: UseCase) -> None:
    """Raise UseCaseError for a name in `retraining.label_filters` that is no filter."""
    for name in usecase.retraining.label_filters:
        if name not in LABEL_FILTERS:
            raise UseCaseError(
                f"{usecase.name}: retraining.label_filters: there is no filter {name!r}."
                f"{suggestion(name, LABEL_FILTERS)} There are: {', '.join(LABEL_FILTERS)}."
            )
