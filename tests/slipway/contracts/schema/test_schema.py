from __future__ import annotations

import hmac
import itertools
import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipelines.data.schema_completion import complete
from slipway.contracts.schema import (
    Feature,
    RowKeyer,
    Schema,
    Split,
    bin_labels,
    bucket,
    compatible,
    is_canonical,
    key_text,
    mask,
    row_key,
    side,
)
from slipway.errors import BundleError, DataError

SECRET = b"a secret of the tests"
FEATURES = (
    Feature("age", "category", private="bucket", bins=(25, 40), vocabulary=bin_labels((25, 40))),
    Feature("city", "category", vocabulary=("Kiel", "Rome"), nullable=True),
    Feature("income", "number", range=(0, 100)),
    Feature("name", "category", private="token", nullable=True),
    Feature("origin", "category", private="drop", nullable=True),
)
SCHEMA = Schema(1, "u", "binary", FEATURES, "y", ("good", "bad"), "bad", 0.2)
ROW = {"age": 30, "city": "Rome", "income": 5, "name": "Ada", "origin": "x"}


def test_masking_leaves_no_raw_private_value() -> None:
    masked = mask(ROW, SCHEMA, SECRET)
    assert masked["age"] == "25 – 40"
    assert masked["name"].startswith("tok_")
    assert "origin" not in masked
    assert "Ada" not in json.dumps(masked)


def test_masking_what_is_masked_changes_nothing() -> None:
    once = mask(ROW, SCHEMA, SECRET)
    assert mask(once, SCHEMA, SECRET) == once


def test_masking_never_edits_its_argument_and_leaves_missing_values() -> None:
    row = dict(ROW, age=None, name=float("nan"))
    masked = mask(row, SCHEMA, SECRET)
    assert masked["age"] is None
    assert row["origin"] == "x"


def test_another_secret_makes_another_token() -> None:
    assert mask(ROW, SCHEMA, SECRET)["name"] != mask(ROW, SCHEMA, b"another secret")["name"]


@pytest.mark.parametrize(("value", "label"), [(24.9, "< 25"), (25, "25 – 40"), (39.99, "25 – 40"), (40, "≥ 40")])
def test_a_bucket_has_its_lower_edge_and_not_its_upper(value: float, label: str) -> None:
    assert mask(dict(ROW, age=value), SCHEMA, SECRET)["age"] == label


def test_equal_rows_have_the_same_key_in_any_form() -> None:
    served = key_text(mask(ROW, SCHEMA, SECRET), SCHEMA)
    trained = key_text(mask(dict(ROW, income=np.float64(5.0), extra=1), SCHEMA, SECRET), SCHEMA)
    assert served == trained
    without_null = key_text({"income": 5}, SCHEMA)
    assert key_text({"income": 5.0, "city": None, "name": float("nan")}, SCHEMA) == without_null
    assert key_text({"income": 5.5}, SCHEMA) != without_null


def test_the_key_is_the_same_under_another_secret() -> None:
    one, other = (key_text(mask(ROW, SCHEMA, secret), SCHEMA) for secret in (SECRET, b"another secret"))
    assert one == other


def test_the_key_of_an_image_is_its_pixels() -> None:
    schema = msgspec.structs.replace(SCHEMA, features=(Feature("image", "image", size=(2, 2), channels=1),))
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    assert key_text({"image": pixels}, schema) == key_text({"image": pixels.copy()}, schema)
    assert key_text({"image": pixels}, schema) != key_text({"image": pixels.T.copy()}, schema)


def test_the_key_columns_of_the_split_alone_make_the_key() -> None:
    schema = msgspec.structs.replace(SCHEMA, split=Split(key=("customer",)))
    assert key_text({"customer": 7, "income": 1}, schema) == key_text({"customer": 7.0, "income": 2}, schema)


def test_the_key_may_be_a_time_and_a_missing_one_is_null() -> None:
    schema = msgspec.structs.replace(SCHEMA, split=Split(key=("day", "id")))
    assert key_text({"day": pd.Timestamp("2026-01-02"), "id": np.int64(3)}, schema) == (
        '{"day":"2026-01-02 00:00:00","id":3}'
    )
    assert key_text({"day": pd.NaT, "id": pd.NA}, schema) == "{}"


def test_the_row_key_hides_the_key_and_needs_the_secret() -> None:
    text = key_text(ROW, SCHEMA)
    assert row_key(SECRET, text) == row_key(SECRET, text)
    assert row_key(SECRET, text) != row_key(b"another secret", text)
    assert len(row_key(SECRET, text)) == 32


def test_json_that_is_canonical_is_the_text_of_the_key() -> None:
    """Of plain types in all their forms: what is taken over as it is must be what training makes of it."""
    values = [
        0.5,
        2.0,
        -0.0,
        1e16,
        1e15,
        2.0**53,
        1e-7,
        123456.789,
        5,
        -(2**60),
        True,
        "a",
        "x.0,",
        'q".0}',
        "null",
    ]
    schema = msgspec.structs.replace(SCHEMA, features=tuple(Feature(name, "number") for name in "abc"))
    taken = 0
    for combination in itertools.product(values, repeat=3):
        row = dict(zip("abc", combination, strict=True))
        text = msgspec.json.encode(row)
        taken += is_canonical(text)
        assert not is_canonical(text) or text.decode() == key_text(row, schema)
    assert taken > 500


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_the_row_key_is_an_hmac_whatever_the_length_of_its_secret(length: int) -> None:
    secret, text = bytes(range(length)), key_text(ROW, SCHEMA)
    assert row_key(secret, text) == hmac.digest(secret, text.encode(), "sha256").hex()[:32]


def test_a_served_row_has_the_key_and_the_bucket_that_training_gave_it() -> None:
    text = key_text(ROW, SCHEMA)
    found = RowKeyer(SCHEMA).of_row(SECRET, ROW)
    assert found[:2] == (row_key(SECRET, text).encode(), bucket(SCHEMA.split.salt, text))


@pytest.mark.parametrize(
    ("split", "key", "number"),
    [(Split(key=("customer",)), False, False), (Split(group="city"), True, False), (Split(time="day"), True, False)],
)
def test_what_a_request_does_not_tell_is_left_out_of_its_event(split: Split, key: bool, number: bool) -> None:
    schema = msgspec.structs.replace(SCHEMA, split=split)
    found = RowKeyer(schema).of_row(SECRET, ROW)
    assert (found[0] is not None, found[1] is not None) == (key, number)


def test_buckets_are_even_and_change_with_the_salt() -> None:
    numbers = [bucket("salt", str(n)) for n in range(20_000)]
    sides = [side(n, {"train": 0.6, "validation": 0.2, "holdout": 0.2}) for n in numbers]
    assert min(numbers) >= 0
    assert max(numbers) <= 9999
    assert abs(sides.count("train") / 20_000 - 0.6) < 0.02
    assert abs(sides.count("holdout") / 20_000 - 0.2) < 0.02
    assert bucket("salt", "a") != bucket("pepper", "a")


def test_the_bucket_of_a_row_never_changes_between_releases() -> None:
    assert bucket("slipway", '{"age":5}') == 9110


def test_a_schema_outlasts_its_file(tmp_path: Path) -> None:
    SCHEMA.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == SCHEMA


def test_a_newer_contract_is_refused_with_what_to_do(tmp_path: Path) -> None:
    msgspec.structs.replace(SCHEMA, contract=2).save(tmp_path / "schema.json")
    with pytest.raises(BundleError, match="contract version 2.*install a newer Slipway"):
        Schema.load(tmp_path / "schema.json")


def test_training_rows_complete_what_the_file_left_out() -> None:
    draft = msgspec.structs.replace(SCHEMA, features=(Feature("a", "number"), Feature("b", "category")))
    frame = pd.DataFrame({"a": [3.0, None, 1.0], "b": ["y", None, "x"]})
    number, category = complete(draft, frame).features
    assert number.range == (1.0, 3.0)
    assert category.vocabulary == ("x", "y")


def test_free_text_is_no_category() -> None:
    draft = msgspec.structs.replace(SCHEMA, features=(Feature("b", "category"),))
    with pytest.raises(DataError, match="b has 1001 values.*free text"):
        complete(draft, pd.DataFrame({"b": [f"text {n}" for n in range(1001)]}))


def _with(*features: Feature, retired: tuple[str, ...] = ()) -> Schema:
    return msgspec.structs.replace(SCHEMA, features=features, retired=retired)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (_with(Feature("a", "number")), None),
        (_with(Feature("a", "number"), Feature("b", "number", nullable=True)), None),
        (_with(Feature("b", "number", nullable=True), retired=("a",)), None),
        (_with(Feature("a", "number"), Feature("b", "number")), "b is new and not nullable"),
        (_with(Feature("b", "number", nullable=True)), "a is gone and not retired"),
        (_with(Feature("a", "integer")), "a was number and is integer"),
        (msgspec.structs.replace(_with(Feature("a", "number")), classes=("x", "y")), "task or classes differ"),
    ],
)
def test_valid_rows_stay_valid_or_the_reason_is_reported(new: Schema, reason: str | None) -> None:
    assert compatible(_with(Feature("a", "number")), new) == ([reason] if reason else [])


def test_a_feature_that_could_be_null_must_stay_so() -> None:
    old, new = _with(Feature("a", "number", nullable=True)), _with(Feature("a", "number"))
    assert compatible(old, new) == ["a could be null and no longer can"]


def test_a_retired_feature_stays_accepted() -> None:
    old = _with(Feature("a", "number"), retired=("z",))
    assert compatible(old, _with(Feature("a", "number"))) == ["z is gone and not retired"]
