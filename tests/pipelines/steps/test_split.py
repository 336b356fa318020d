"""The split: three sides that share no row, no group and no frozen row; the server finds the same side."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts.json_files import read_json
from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from pipelines.steps.split import SIDES, split
from slipway.contracts import columns
from slipway.contracts.schema import Schema, bucket, key_text, mask, row_key, side
from slipway.errors import DataError
from slipway.settings import settings
from slipway.system.files import file_sha256
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


def test_every_row_is_on_one_side_in_the_configured_fractions(sides, orders):
    found = parts(sides(orders))
    assert sum(map(len, found.values())) == 300
    assert len(pd.concat(found.values())[columns.ROW_KEY].unique()) == 300
    assert 0.5 < len(found["train"]) / 300 < 0.7


def test_the_server_finds_the_same_side(sides, orders):
    out = sides(orders)
    schema, secret = Schema.load(out / "schema.json"), settings().mask_secret()
    held_out = set(parts(out)["holdout"][columns.ROW_KEY])
    request = {"amount": float(orders["amount"][0]), "items": int(orders["items"][0]), "country": orders["country"][0]}
    request |= {"gift": orders["gift"][0] == "true", "email": orders["email"][0], "age": int(orders["age"][0])}
    text = key_text(mask({**request, "phone": "anything"}, schema, secret), schema)
    on_holdout = side(bucket(schema.split.salt, text), schema.split.fractions) == "holdout"
    assert (row_key(secret, text) in held_out) == on_holdout
    assert row_key(secret, text) in set(pd.concat(parts(out).values())[columns.ROW_KEY])


def test_equal_rows_stay_together(sides, orders):
    twice = pd.concat([orders, orders], ignore_index=True)
    found = parts(sides(twice))
    assert all((frame[columns.ROW_KEY].value_counts() == 2).all() for frame in found.values())


def test_groups_stay_together(sides, orders):
    found = parts(sides(orders.assign(shop=np.arange(300) // 6), split={"group": "shop"}))
    groups = [set(frame[columns.SPLIT_GROUP]) for frame in found.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 50


def test_time_splits_keep_the_newest_for_the_holdout(sides, orders):
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(300)[::-1], "D")
    found = parts(sides(orders.assign(day=days), split={"time": "day"}))
    assert [len(found[name]) for name in SIDES] == [180, 60, 60]
    assert found["train"][columns.SPLIT_TIME].max() < found["validation"][columns.SPLIT_TIME].min()
    assert found["validation"][columns.SPLIT_TIME].max() < found["holdout"][columns.SPLIT_TIME].min()


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
    result = read_json(second / "split.json")
    assert result["frozen"] and result["holdout_sha256"] == file_sha256(first / "holdout.parquet")
    assert file_sha256(second / "holdout.parquet") == result["holdout_sha256"]
    assert result["counts"]["reserve"] > 20
    assert sum(result["counts"].values()) == 600


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
    trained_on = pd.concat([found["train"], found["validation"]])
    assert not held_out.merge(trained_on, on="email").size, "its tokens are others now"
    assert not held_out.merge(trained_on, on=["amount", "items", "country", "gift", "age"]).size


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


@pytest.fixture
def with_production(usecase, step, orders, tmp_path):
    """`with_production(rows, window)` is the split with those rows of the step `production`, and the one without."""

    def run(make):
        found = usecase(orders)
        cleaned = step(clean, found, step(ingest, found))
        before = step(split, found, cleaned)
        rows, window = make(parts(before))
        folder = tmp_path / "production"
        folder.mkdir(exist_ok=True)
        rows.to_parquet(folder / "production.parquet")
        window.to_parquet(folder / "window.parquet")
        after = step(split, found, cleaned, frozen=before / "holdout.parquet", production=folder)
        return parts(before), parts(after), read_json(after / "split.json")

    return run


def produced(source: pd.DataFrame, rows: int, side: str, recent: bool = False, offset: float = 2000) -> pd.DataFrame:
    """Rows like the source's, and equal to none of them."""
    made = source.sample(rows, replace=True, random_state=3).reset_index(drop=True)
    made["amount"] = offset + np.arange(rows)
    made[columns.ROW_KEY] = [f"{side}{offset}{number}" for number in range(rows)]
    return made.assign(**{columns.SIDE: side, columns.SINCE_CHANGE: recent})


def test_production_rows_join_their_sides_and_the_holdout_stays(with_production):
    before, after, result = with_production(
        lambda source: (
            pd.concat([produced(source["train"], 50, "train"), produced(source["train"], 20, "validation")]),
            produced(source["train"], 10, "train", offset=5000),
        )
    )
    assert len(after["train"]) == len(before["train"]) + 50
    assert len(after["validation"]) == len(before["validation"]) + 20
    assert after["holdout"].equals(before["holdout"])
    assert result["production"] == {"train": 50, "validation": 20, "weight_before_change": None}
    assert columns.WEIGHT not in after["train"] and set(after["train"]) == set(before["train"])


def test_a_source_row_that_is_in_the_window_is_not_trained_on(with_production):
    before, after, _ = with_production(
        lambda source: (
            produced(source["train"], 5, "train"),
            source["train"][:7].assign(**{columns.SIDE: "train", columns.SINCE_CHANGE: False}),
        )
    )
    assert len(after["train"]) == len(before["train"]) + 5 - 7


def test_a_production_row_that_equals_a_source_row_goes_where_that_one_is(with_production):
    _, after, result = with_production(
        lambda source: (
            source["train"][:7].assign(**{columns.SIDE: "validation", columns.SINCE_CHANGE: False}),
            produced(source["train"], 5, "train"),
        )
    )
    assert result["production"]["train"] == 7 and result["production"]["validation"] == 0
    assert result["leaks"]["train, validation"] == 0


def test_rows_from_before_a_change_count_a_twentieth_together(with_production):
    _, after, result = with_production(
        lambda source: (
            pd.concat(
                [
                    produced(source["train"], 100, "train"),
                    produced(source["train"], 200, "train", recent=True, offset=3000),
                    produced(source["train"], 60, "validation", recent=True, offset=4000),
                ]
            ),
            produced(source["train"], 10, "train", offset=5000),
        )
    )
    train = after["train"]
    since = train[columns.WEIGHT] == 1.0
    assert since.sum() == 200
    assert train[columns.WEIGHT][~since].sum() == pytest.approx(0.05 * 200)
    assert train[columns.WEIGHT][~since].nunique() == 1
    assert (after["validation"][columns.WEIGHT] == 1.0).sum() == 60
    assert result["production"]["weight_before_change"] == pytest.approx(10 / (~since).sum())


@pytest.mark.parametrize("since", [{"rows": 99}, {"rows": 300, "only": "no"}])
def test_a_change_with_too_few_rows_since_or_one_class_only_weighs_nothing(with_production, since):
    def make(source):
        rows = produced(source["train"], since["rows"], "train", recent=True)
        return rows.assign(returned=since.get("only", rows["returned"])), produced(
            source["train"], 5, "train", offset=9e3
        )

    _, after, result = with_production(make)
    assert columns.WEIGHT not in after["train"] and result["production"]["weight_before_change"] is None
