"""Labelled predictions as rows: images by what was captured, values as their features are now."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipelines.labels import labelled_predictions
from slipway.config import schema_builder
from slipway.inference import encode_png, image_statistics, pixels_sha256
from slipway.prediction_log import IMAGES
from slipway.settings import settings
from slipway.storage import object_store

PHOTOS = {
    "features": [{"name": "photo", "kind": "image", "size": [8, 8], "channels": 1}],
    "target": {"name": "digit", "classes": ["0", "1"], "positive": "1"},
}


def labelled(features: list[dict]) -> pd.DataFrame:
    """What the log tells of those features, labelled "1"."""
    count = len(features)
    frame = pd.DataFrame({"features": [json.dumps(row) for row in features], "row_id": range(count), "truth": "1"})
    frame["at"] = pd.Timestamp("2026-03-01", tz="UTC")
    return frame.assign(version="1", bundle_sha256="b" * 64, caller="", label="1", value=np.nan, score=0.9)


def test_an_image_is_there_where_it_was_captured_and_left_out_elsewhere(usecase):
    found = usecase(pd.DataFrame({"photo": [""], "digit": ["1"]}), **PHOTOS)
    pixels = [np.full((8, 8, 1), shade, np.uint8) for shade in (10, 20, 30)]
    digests = [pixels_sha256(one) for one in pixels]
    waiting = settings().spool / "orders" / IMAGES / digests[0]
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(encode_png(pixels[0]))
    object_store(settings()).put(f"{IMAGES}/{digests[1]}", encode_png(pixels[1]))
    logged = [
        {"photo": image_statistics(one) | {"sha256": digest}} for one, digest in zip(pixels, digests, strict=True)
    ]
    rows = labelled_predictions.to_rows(found, labelled(logged))
    assert rows.left_out == {"unusable": 0, "not captured": 1, "side not known": 0}
    assert rows.frame["photo"].tolist() == [encode_png(pixels[0]), encode_png(pixels[1])]
    assert rows.frame["digit"].tolist() == ["1", "1"]


@pytest.mark.parametrize(
    ("change", "usable"),
    [
        ({}, True),
        ({"amount": None}, True),  # nullable
        ({"amount": 7}, True),
        ({"amount": "7"}, False),
        ({"amount": True}, False),
        ({"amount": 1e300}, False),
        ({"items": None}, False),
        ({"items": 2.0}, True),
        ({"items": 2.5}, False),
        ({"country": "es"}, True),  # unknown to the model, and still a row
        ({"country": 7}, False),
        ({"gift": "true"}, False),
        ({"email": None}, True),
        ({"age": 44}, True),  # from before it became private
        ({"age": "30 – 60"}, True),
    ],
)
def test_a_value_must_be_what_its_feature_is_now(usecase, orders, change, usable):
    row = {"amount": 10.5, "items": 2, "country": "de", "gift": False, "email": "tok_" + "0" * 32, "age": "30 – 60"}
    rows = labelled_predictions.to_rows(usecase(orders), labelled([row, {**row, **change}]))
    assert len(rows.frame) == 1 + usable and rows.left_out["unusable"] == (not usable)


@pytest.mark.parametrize(
    ("name", "change", "usable"),
    [
        ("amount", {"unit": "cents"}, False),
        ("amount", {"unit": "", "range": (0.0, 1.0), "nullable": False}, True),
        ("country", {"vocabulary": ("germany", "fr")}, False),
        ("country", {"vocabulary": ("de",)}, True),
        ("country", {"private": "token"}, False),
        ("email", {"private": None}, True),  # it is masked now
        ("age", {"kind": "number", "private": None, "bins": None, "vocabulary": None, "unit": "months"}, False),
        ("age", {"kind": "number", "private": None, "bins": None, "vocabulary": None}, True),
        ("age", {"bins": (20.0, 50.0)}, False),
    ],
)
def test_a_row_of_a_version_that_defined_a_feature_otherwise_is_left_out(usecase, orders, name, change, usable):
    changed = {"amount": {"unit": "EUR"}, "country": {"vocabulary": ["de", "fr"]}, "age": {"unit": "years"}}
    found = usecase(orders)
    declared = [feature.model_dump(exclude_unset=True) for feature in found.features]
    found = usecase(orders, features=[{**feature, **changed.get(feature["name"], {})} for feature in declared])
    now = schema_builder.from_usecase(found)
    before = [msgspec.structs.replace(one, **change) if one.name == name else one for one in now.features]
    folder = settings().var / "schemas" / ("b" * 64) / "serve"
    folder.mkdir(parents=True)
    msgspec.structs.replace(now, features=tuple(before)).save(folder / "schema.json")
    row = {"amount": 10.5, "items": 2, "country": "de", "gift": False, "email": "tok_" + "0" * 32, "age": "30 – 60"}
    rows = labelled_predictions.to_rows(found, labelled([row]))
    assert (len(rows.frame), rows.left_out["unusable"]) == (usable, not usable)


def test_a_row_of_a_version_whose_target_had_another_unit_is_left_out(usecase, orders):
    target = {"name": "returned", "unit": "EUR"}
    found = usecase(orders.assign(returned=1.0), target=target, task="regression")
    folder = settings().var / "schemas" / ("b" * 64) / "serve"
    folder.mkdir(parents=True)
    msgspec.structs.replace(schema_builder.from_usecase(found), unit="cents").save(folder / "schema.json")
    row = {"amount": 10.5, "items": 2, "country": "de", "gift": False, "email": "tok_" + "0" * 32, "age": "30 – 60"}
    assert labelled_predictions.to_rows(found, labelled([row])).left_out["unusable"] == 1


def test_rows_have_the_types_of_the_snapshot(usecase, orders, step):
    from pipelines.steps.ingest import ingest

    found = usecase(orders)
    snapshot = pd.read_parquet(step(ingest, found) / "snapshot.parquet")
    row = {"amount": 10.5, "items": 2.0, "country": "de", "gift": False, "email": "tok_" + "0" * 32, "age": 44}
    frame = labelled_predictions.to_rows(found, labelled([row])).frame
    assert frame[list(snapshot)].dtypes.to_dict() == snapshot.dtypes.to_dict()
    features = [feature.name for feature in schema_builder.from_usecase(found).features if feature.private != "drop"]
    assert list(frame)[: len(features) + 1] == [*features, "returned"]
