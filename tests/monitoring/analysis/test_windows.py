"""The reference of a bundle: predictions beside features of the same names, and as earlier releases wrote it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from monitoring.analysis import windows
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
