"""Names of columns of ours: where no feature's can be, in tables of this release and of earlier ones."""

from __future__ import annotations

import pytest

from slipway.contracts import columns


def test_every_column_of_ours_is_behind_a_reserved_prefix():
    ours = [value for name, value in vars(columns).items() if name.isupper() and isinstance(value, str)]
    assert len(ours) > 12
    assert all(columns.reserved_prefix(name) for name in ours)


@pytest.mark.parametrize("name", ["slipway.weight", "Slipway.x", "SLIPWAY.", "prediction.label", "Prediction.mine"])
def test_a_reserved_prefix_is_found_in_any_case(name):
    assert columns.reserved_prefix(name) in columns.RESERVED


@pytest.mark.parametrize(
    "name", ["weight", "slipway", "slipway_weight", "my.slipway.weight", "prediction", "predictions.x"]
)
def test_any_other_name_is_free(name):
    assert columns.reserved_prefix(name) is None


def test_a_feature_of_this_release_is_no_column_of_an_earlier_one():
    assert columns.holdout_names(["row_key", "amount", columns.ROW_KEY]) == {}
    assert columns.reference_names(["side", "label", columns.SIDE], "binary") == {}


def test_columns_of_an_earlier_release_are_known():
    assert columns.holdout_names(["row_key", "split_bucket", "amount"])["row_key"] == columns.ROW_KEY
    assert columns.reference_names(["side", "label"], "binary")["label"] == "prediction.label"
    assert "label" not in columns.reference_names(["side", "label", "value"], "regression")
