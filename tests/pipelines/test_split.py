"""The split: three sides that share no row, no group and no frozen row; the server finds the same side."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.clean import clean
from pipelines.files import read_json, sha256
from pipelines.ingest import ingest
from pipelines.split import SIDES, split
from slipway.errors import DataError
from slipway.schema import Schema, bucket, key_text, mask, row_key, side
from slipway.settings import settings
from tests.pipelines.conftest import ORDERS


@pytest.fixture
def sides(usecase, step):
    """`sides(frame, frozen=None, **changes)` is the split's directory."""

    def run(frame, frozen=None, **changes):
        found = usecase(frame, **changes)
        return step(split, found, step(clean, found, step(ingest, found)), frozen=frozen)

    return run


def parts(out) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(out / f"{name}.parquet") for name in SIDES}


def test_every_row_is_on_one_side_in_the_fractions_asked_for(sides, orders):
    found = parts(sides(orders))
    assert sum(map(len, found.values())) == 300
    assert len(pd.concat(found.values())["row_key"].unique()) == 300
    assert 0.5 < len(found["train"]) / 300 < 0.7


def test_the_server_finds_the_same_side(sides, orders):
    out = sides(orders)
    schema, secret = Schema.load(out / "schema.json"), settings().mask_secret()
    held_out = set(parts(out)["holdout"]["row_key"])
    request = {"amount": float(orders["amount"][0]), "items": int(orders["items"][0]), "country": orders["country"][0]}
    request |= {"gift": orders["gift"][0] == "true", "email": orders["email"][0], "age": int(orders["age"][0])}
    text = key_text(mask({**request, "phone": "anything"}, schema, secret), schema)
    on_holdout = side(bucket(schema.split.salt, text), schema.split.fractions) == "holdout"
    assert (row_key(secret, text) in held_out) == on_holdout
    assert row_key(secret, text) in set(pd.concat(parts(out).values())["row_key"])


def test_equal_rows_stay_together(sides, orders):
    twice = pd.concat([orders, orders], ignore_index=True)
    found = parts(sides(twice))
    assert all((frame["row_key"].value_counts() == 2).all() for frame in found.values())


def test_groups_stay_together(sides, orders):
    found = parts(sides(orders.assign(shop=np.arange(300) // 6), split={"group": "shop"}))
    groups = [set(frame["split_group"]) for frame in found.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 50


def test_time_splits_keep_the_newest_for_the_holdout(sides, orders):
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(300)[::-1], "D")
    found = parts(sides(orders.assign(day=days), split={"time": "day"}))
    assert [len(found[name]) for name in SIDES] == [180, 60, 60]
    assert found["train"]["split_time"].max() < found["validation"]["split_time"].min()
    assert found["validation"]["split_time"].max() < found["holdout"]["split_time"].min()


def test_an_unreadable_time_is_named(sides, orders):
    with pytest.raises(DataError, match="day of row 3 holds 'soon'"):
        sides(orders.assign(day=["2026-01-01", "2026-01-02", "soon", *["2026-01-03"] * 297]), split={"time": "day"})


@pytest.fixture
def more(orders) -> pd.DataFrame:
    """The orders and 300 newer ones."""
    newer = orders.assign(amount=(orders["amount"].astype(float) + 0.005).astype(str))
    return pd.concat([orders, newer], ignore_index=True)


def test_a_frozen_holdout_is_taken_over_byte_by_byte(sides, orders, more, tmp_path):
    first = sides(orders)
    frozen = shutil.copy(first / "holdout.parquet", tmp_path / "frozen.parquet")
    second = sides(more, frozen=frozen)
    told = read_json(second / "split.json")
    assert told["frozen"] and told["holdout_sha256"] == sha256(first / "holdout.parquet")
    assert sha256(second / "holdout.parquet") == told["holdout_sha256"]
    assert told["counts"]["reserve"] > 20
    assert sum(told["counts"].values()) == 600


def test_a_frozen_row_is_never_trained_on_whatever_the_salt_or_the_features(sides, orders, usecase, tmp_path):
    first = parts(sides(orders))
    frozen = tmp_path / "frozen.parquet"
    first["holdout"].to_parquet(frozen)
    held_out = set(first["holdout"]["email"])
    features = [*ORDERS["features"], {"name": "colour", "kind": "category", "nullable": True}]
    second = sides(orders.assign(colour="red"), frozen=frozen, split={"salt": "another"}, features=features)
    found = parts(second)
    assert not held_out & (set(found["train"]["email"]) | set(found["validation"]["email"]))
    assert set(read_json(second / "split.json")["leaks"].values()) == {0}


def test_a_frozen_row_is_known_again_under_another_secret(sides, orders, tmp_path, var):
    frozen = shutil.copy(sides(orders) / "holdout.parquet", tmp_path / "frozen.parquet")
    (var / "mask.key").write_text("another secret of this machine")
    settings.cache_clear()
    found, held_out = parts(sides(orders, frozen=frozen)), pd.read_parquet(frozen)
    seen = pd.concat([found["train"], found["validation"]])
    assert not held_out.merge(seen, on="email").size, "its tokens are others now"
    assert not held_out.merge(seen, on=["amount", "items", "country", "gift", "age"]).size


def test_the_schema_is_completed_from_training_rows_only(sides, orders):
    out = sides(orders)
    schema = Schema.load(out / "schema.json")
    train = parts(out)["train"]
    assert schema.by_name["items"].range == (train["items"].min(), train["items"].max())
    assert schema.by_name["country"].vocabulary == ("de", "fr", "it")


def test_a_side_without_rows_or_classes_is_refused(sides, orders):
    with pytest.raises(DataError, match="side empty"):
        sides(orders.assign(shop="one"), split={"group": "shop"})
    rare = orders.assign(returned=["maybe", *orders["returned"][1:]])
    with pytest.raises(DataError, match=r"has no row of \['maybe'\]"):
        sides(rare, task="multiclass", target={"name": "returned", "classes": ["no", "yes", "maybe"]})
