"""Columns of ours beside features of the same names, and in tables that an earlier release wrote."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipelines.data.dataset import encode_rows, read_holdout, read_rows
from pipelines.packaging.monitoring_reference import reference_rows
from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from pipelines.steps.split import SIDES, split
from slipway.contracts import columns
from slipway.contracts.schema import Feature, Schema
from tests.support import bundles

EARLIER = {columns.ROW_KEY: "row_key", columns.SPLIT_BUCKET: "split_bucket", columns.SPLIT_GROUP: "split_group"}


def schema(*features: str, target: str = "price") -> Schema:
    return msgspec.structs.replace(
        bundles.REGRESSION, features=tuple(Feature(name, "number") for name in features), target=target
    )


def numbers(*names: str) -> pd.DataFrame:
    return pd.DataFrame({name: np.arange(200.0) + place for place, name in enumerate(names)})


@pytest.mark.parametrize(("feature", "target"), [("weight", "price"), ("height", "weight"), ("self", "weight")])
def test_a_feature_or_target_named_weight_weighs_nothing(feature, target):
    rows = encode_rows(numbers(feature, target), schema(feature, target=target))
    assert rows.weight is None and rows.features["numbers"][:, 0].tolist() == list(range(200))
    weighted = numbers(feature, target).assign(**{columns.WEIGHT: [1.0, 3.0] * 100})
    assert encode_rows(weighted, schema(feature, target=target)).weight.tolist() == [0.5, 1.5] * 100


def test_a_feature_named_weight_chooses_no_rows_of_the_reference():
    names = ("weight", "side", "value", "value_true")
    frames = {side: numbers(*names) for side in ("validation", "holdout")}
    predictions = {side: pd.DataFrame({"value_true": frame["weight"], "value": -1.0}) for side, frame in frames.items()}
    found = reference_rows(schema(*names), frames, predictions)
    assert found[columns.SIDE].value_counts().to_dict() == {"validation": 200, "holdout": 200}
    assert found[list(names)].equals(pd.concat(frames.values(), ignore_index=True))
    assert set(found["prediction.value"]) == {-1.0}


@pytest.mark.parametrize("name", ["row_key", "split_group", "self", "index", "columns"])
def test_a_feature_newer_than_the_holdout_is_missing_in_it_whatever_its_name(tmp_path, name):
    earlier = numbers("area", "price").assign(row_key="a", split_bucket=7, split_group="b")
    earlier.to_parquet(tmp_path / "holdout.parquet")
    found = read_rows(tmp_path / "holdout.parquet", schema("area", name))
    assert found[name].isna().all() and (found[columns.ROW_KEY] == "a").all()


def test_a_feature_in_a_holdout_of_this_release_keeps_its_name(tmp_path):
    numbers("row_key", "price").assign(**{columns.ROW_KEY: "a"}).to_parquet(tmp_path / "holdout.parquet")
    assert read_holdout(tmp_path / "holdout.parquet")["row_key"].tolist() == list(range(200))


@pytest.mark.parametrize("grouped", [{}, {"split": {"group": "email"}}, {"split": {"key": ["email"]}}])
def test_a_holdout_that_an_earlier_release_froze_stays_apart(usecase, orders, step, tmp_path, grouped):
    found = usecase(orders, **grouped)
    cleaned = step(clean, found, step(ingest, found))
    first = step(split, found, cleaned)
    frozen = tmp_path / "frozen.parquet"
    pd.read_parquet(first / "holdout.parquet").rename(columns=EARLIER).to_parquet(frozen)
    again = step(split, found, cleaned, frozen=frozen)
    for side in SIDES[:2]:
        pd.testing.assert_frame_equal(*(pd.read_parquet(out / f"{side}.parquet") for out in (first, again)))
    assert (again / "holdout.parquet").read_bytes() == frozen.read_bytes()
