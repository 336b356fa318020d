"""The reference of a bundle: predictions beside features of the same names, and as earlier releases wrote it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from monitoring.analysis import windows
from monitoring.analysis.comparison import _comparable
from monitoring.analysis.windows import Period, Window
from slipway.contracts import columns
from slipway.contracts.schema import Feature, Schema
from slipway.errors import BundleError
from tests.support import bundles

NAMES = ("score", "label", "label_true", "side", "value")
SCHEMA = msgspec.structs.replace(bundles.TABULAR, features=tuple(Feature(name, "number") for name in NAMES))
FEATURES = pd.DataFrame({name: np.arange(5.0) + place for place, name in enumerate(NAMES)})
PREDICTIONS = pd.DataFrame({"label_true": "good", "label": "bad", "score": np.linspace(0, 1, 5)})


def reference(folder: Path, frame: pd.DataFrame, schema: Schema = SCHEMA) -> pd.DataFrame:
    (folder / "monitor").mkdir()
    frame.to_parquet(folder / "monitor" / "reference.parquet")
    return windows.load_reference(folder, schema)


def test_features_and_predictions_of_one_name_stay_two(tmp_path):
    written = FEATURES.join(PREDICTIONS.add_prefix(columns.PREDICTION)).assign(**{columns.SIDE: "holdout"})
    frame = reference(tmp_path, written)
    found = windows.reference_columns(frame, SCHEMA)
    assert list(found) == [*NAMES, "prediction.label", "prediction.score"]
    assert found["score"].tolist() == FEATURES["score"].tolist()
    assert found["prediction.score"].tolist() == PREDICTIONS["score"].tolist()
    assert windows.reference_predictions(frame, SCHEMA).equals(PREDICTIONS)


def test_a_reference_of_an_earlier_release_is_read(tmp_path):
    earlier = FEATURES[["value"]].join(PREDICTIONS).assign(side="holdout")
    schema = msgspec.structs.replace(SCHEMA, features=(Feature("value", "number"),))
    frame = reference(tmp_path, earlier, schema)
    assert list(windows.reference_columns(frame, schema)) == ["value", "prediction.label", "prediction.score"]
    assert windows.reference_predictions(frame, schema).equals(PREDICTIONS)


def test_a_reference_of_an_earlier_regression_keeps_a_feature_named_label(tmp_path):
    earlier = FEATURES[["label"]].assign(value=1.0, value_true=2.0, side="holdout")
    schema = msgspec.structs.replace(bundles.REGRESSION, features=(Feature("label", "number"),))
    found = windows.reference_columns(reference(tmp_path, earlier, schema), schema)
    assert found["label"].tolist() == FEATURES["label"].tolist() and set(found["prediction.value"]) == {1.0}


@pytest.mark.parametrize("lost", ["age", "prediction.label_true", "prediction.score"])
def test_a_reference_that_lacks_a_column_is_refused_with_its_name(tmp_path, lost):
    rows = pd.DataFrame(bundles.ROWS["loans"][:5]).join(PREDICTIONS.add_prefix(columns.PREDICTION))
    with pytest.raises(BundleError, match=f"lacks the columns .'{lost}'.: train the model again"):
        reference(tmp_path, rows.assign(**{columns.SIDE: "holdout"}).drop(columns=lost), bundles.TABULAR)


IMAGE = {"brightness": 1.0, "contrast": 2.0, "sharpness": 3.0, "entropy": 4.0, "sha256": "e" * 64}
PHOTO = Feature("photo", "image", size=(8, 8), channels=1)
PERIOD = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), 3, "2", "d2")


class LoggedRows:
    """A log that holds these features by the digest of the version."""

    def __init__(self, *events: tuple[dict[str, Any], str]) -> None:
        self._rows = [(json.dumps(features), digest, "good", 0.5, None) for features, digest in events]

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: self._rows) if name == "fetchall" else (lambda *_: self)


def table(features: tuple[Feature, ...], *events: tuple[dict[str, Any], str]) -> dict[str, list[Any]]:
    schema = msgspec.structs.replace(bundles.TABULAR, features=features)
    found = windows.read(LoggedRows(*events), schema, PERIOD, lambda digests: {})
    return {name: values.tolist() for name, values in found.table.items()}


def test_what_is_logged_of_an_image_is_no_feature():
    features = (PHOTO, Feature("photo_sha256", "category", nullable=True))
    found = table(features, ({"photo": IMAGE, "photo_sha256": "a"}, "d2"), ({"photo": IMAGE}, "d1"))
    assert found["photo_sha256"] == ["a"] and found["photo_contrast"] == [2.0, 2.0]


def test_a_feature_of_another_version_is_no_statistic_of_an_image():
    found = table((PHOTO,), ({"photo": IMAGE}, "d2"), ({"photo_contrast": 99.0}, "d1"), ({"photo": None}, "d2"))
    assert found["photo_contrast"] == [2.0, pytest.approx(np.nan, nan_ok=True)]


def test_a_bundle_whose_feature_is_called_as_a_statistic_is_not_compared_in_it():
    schema = msgspec.structs.replace(bundles.TABULAR, features=(Feature("photo_contrast", "number"), PHOTO))
    columns_of_both = windows.columns(schema)
    values = {column.name: np.ones(200) for column in columns_of_both}
    compared, notes = _comparable(columns_of_both, values, Window(values, 200, 200), PERIOD, 3)
    assert "photo_contrast" not in {column.name for column in compared} and len(compared) == len(values) - 1
    [note] = notes
    assert note.startswith("photo_contrast is a feature and a statistic of an image: rename it")
