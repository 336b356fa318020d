"""Read labelled predictions from the log, and convert them to rows in the layout of the cleaned source.

Values in the log are masked already. An image is logged as its digest: its pixels are kept only if the use case
captures them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.data.row_identity import with_split_columns
from slipway.clients.mlflow.version_schemas import load_schemas
from slipway.config import UseCase, schema_builder
from slipway.contracts import columns
from slipway.contracts import schema as schemas
from slipway.contracts.events.prediction_event import logged_features
from slipway.contracts.schema import Feature, Schema
from slipway.contracts.schema.equivalence import is_trainable
from slipway.prediction_log import IMAGES, Log, captured, describe
from slipway.settings import settings
from slipway.storage import object_store

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

MOST_ROWS = 100_000
LOG_COLUMNS = {
    "row_id": columns.ROW_ID,
    "at": columns.AT,
    "caller": columns.CALLER,
    "version": columns.VERSION,
    "bundle_sha256": columns.BUNDLE_SHA256,
}
_LARGEST = float(np.finfo(np.float32).max)
_EVENT = {
    "slipway.row_id": "row_id",
    "@timestamp": "at",
    "slipway.model_version": "version",
    "slipway.bundle_sha256": "bundle_sha256",
    "label_caller": "caller",
    "slipway.features": "features",
    "slipway.label": "label",
    "slipway.value": "value",
    "slipway.score": "score",
}


@dataclass(frozen=True)
class TypedRows:
    """Typed rows in the order of their predictions, and the number of unusable ones, by reason."""

    frame: pd.DataFrame
    left_out: dict[str, int]


def labels_digest(usecase: UseCase, until: str) -> str | None:
    """Return a digest of the labels sent before `until`; None if they are too few to be used."""
    found = _labelled(usecase, until, each_caller=True).aggregate(
        'count(DISTINCT "slipway.row_id"), sum(hash("slipway.row_id", label_true, value_true, label_caller)::HUGEINT)'
    )
    rows, digits = found.fetchall()[0]
    return f"{rows}:{int(digits):x}" if rows >= usecase.retraining.min_labelled_rows else None


def read_labels(
    usecase: UseCase, until: str, without: Collection[str] = (), *, each_caller: bool = False
) -> pd.DataFrame:
    """Read the newest 100,000 predictions of champions and canaries that were labelled before `until`, oldest first.

    Columns are those of the log by short names, and `truth`. With `each_caller` a prediction has a row per caller that
    voted on its label, else one row with the label decided on; labels of callers in `without` count as never sent.
    """
    truth = "value_true" if usecase.task == "regression" else "label_true"
    named = ", ".join(f'"{name}" AS "{short}"' for name, short in _EVENT.items())
    found = _labelled(usecase, until, without, each_caller).select(f"{named}, {truth} AS truth")
    return found.order('"at" DESC, row_id DESC, caller DESC').limit(MOST_ROWS).df()[::-1].reset_index(drop=True)


def left_out_files(usecase: UseCase, until: str) -> str:
    """Say which files of the log could not be read, with predictions and labels before `until`; empty if none."""
    log = Log(settings())
    log.labelled(usecase.name, None, until, sent_until=until)
    return describe(log.left_out)


def to_rows(usecase: UseCase, labels: pd.DataFrame) -> TypedRows:
    """Convert predictions to rows of the cleaned layout, and add `LOG_COLUMNS`.

    A row is left out as `unusable` if a value does not match its feature's present definition, or its version defined a
    feature or the target otherwise, `not captured` if its image is not kept, and `side not known` if a prediction does
    not hold the columns of the split.
    """
    schema, secret = schema_builder.from_usecase(usecase), settings().mask_secret()
    logged = [schemas.mask(logged_features(text), schema, secret) for text in labels["features"]]
    features = [feature for feature in schema.features if feature.private != "drop"]
    images = _CapturedImages(usecase.name)
    cells, usable, kept = {}, _is_defined_alike(usecase, labels, schema), np.ones(len(labels), bool)
    for feature in features:
        values, valid = _check_column([row.get(feature.name) for row in logged], feature)
        usable &= valid
        if feature.kind == "image":
            values = images.read_all(values)
            kept &= np.array([value is not None for value in values], bool)
        cells[feature.name] = values
    known = _has_split_columns(schema)
    found = pd.DataFrame(cells)[usable & kept & known].reset_index(drop=True)
    frame = pd.DataFrame({feature.name: _cast(found[feature.name], feature) for feature in features}, index=found.index)
    chosen = labels[usable & kept & known].reset_index(drop=True)
    frame[schema.target] = chosen["truth"]
    left_out = {
        "unusable": int((~usable).sum()),
        "not captured": int((usable & ~kept).sum()),
        "side not known": 0 if known else int((usable & kept).sum()),
    }
    rows = with_split_columns(frame, schema, secret) if len(frame) else frame
    return TypedRows(pd.concat([rows, chosen[list(LOG_COLUMNS)].rename(columns=LOG_COLUMNS)], axis=1), left_out)


def _labelled(
    usecase: UseCase, until: str, without: Collection[str] = (), each_caller: bool = False
) -> DuckDBPyRelation:
    labels = usecase.target.classes or None
    found = Log(settings()).labelled(
        usecase.name, None, until, labels, sent_until=until, without=without, each_caller=each_caller
    )
    return found.filter("\"slipway.role\" IN ('champion', 'canary')")


def _is_defined_alike(usecase: UseCase, labels: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return which rows are not of a version whose features or target mean something else, such as another unit."""
    digests = labels["bundle_sha256"]
    schemas = load_schemas(usecase.name, set(digests), settings())
    otherwise = [digest for digest, before in schemas.items() if not is_trainable(before, schema)]
    return ~digests.isin(otherwise).to_numpy()


def _has_split_columns(schema: Schema) -> bool:
    """Whether a prediction holds the columns that the split uses; a split by time uses the prediction's own time."""
    logged = {feature.name for feature in schema.features if feature.private != "drop"}
    return {*schema.split.key, *filter(None, [schema.split.group])} <= logged


def _check_column(values: list[Any], feature: Feature) -> tuple[list[Any], np.ndarray]:
    """Return the valid values of the feature's kind, None for others, and which are valid."""
    valid = _VALID[feature.kind]
    good = np.array([feature.nullable if value is None else valid(value) for value in values], bool)
    return [value if ok else None for value, ok in zip(values, good, strict=True)], good


def _cast(column: pd.Series, feature: Feature) -> pd.Series:
    """Return the column with the type that a snapshot has."""
    if feature.kind not in ("number", "integer"):
        return column.astype(bool if feature.kind == "boolean" and column.notna().all() else object)
    numbers = column.astype("float64")
    return numbers.astype("int64") if feature.kind == "integer" and not numbers.isna().any() else numbers


class _CapturedImages:
    """Captured images by their digest, from the log or from this machine's spool."""

    def __init__(self, usecase: str) -> None:
        self._store = object_store(settings())
        self._spooled = {path.name: path for path in captured(settings().spool, usecase)}
        self._found: dict[str, bytes | None] = {}

    def read_all(self, logged: list[Any]) -> list[bytes | None]:
        return [self._read(value["sha256"]) if value else None for value in logged]

    def _read(self, digest: str) -> bytes | None:
        if digest not in self._found:
            self._found[digest] = self._fetch(digest)
        return self._found[digest]

    def _fetch(self, digest: str) -> bytes | None:
        for read in (lambda: self._spooled[digest].read_bytes(), lambda: self._store.read(f"{IMAGES}/{digest}")):
            try:
                return read()
            except (KeyError, FileNotFoundError):
                continue
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


_VALID: dict[str, Callable[[Any], bool]] = {
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value % 1 == 0,
    "boolean": lambda value: isinstance(value, bool),
    "category": lambda value: isinstance(value, str),
    "image": lambda value: isinstance(value, dict) and isinstance(value.get("sha256"), str),
}
