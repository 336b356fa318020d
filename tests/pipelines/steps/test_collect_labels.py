"""Labelled rows of production: which are trained on, which judge, and which are left out, by reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts.json_files import read_json
from pipelines.steps.clean import clean
from pipelines.steps.collect_labels import collect_labels
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from slipway import audit
from slipway.config import schema_builder
from slipway.contracts import columns
from slipway.contracts.schema import side
from slipway.settings import settings
from tests.pipelines.labels.production_log import START, ProductionLog, at
from tests.support.prediction_log.broken_log import break_log

CUTOFF = at(5e6)
FILTERS = ["labeler_agreement", "near_duplicates"]
RETRAINING = {"min_labelled_rows": 100, "caller_share": 1.0, "window_rows": 100, "label_filters": FILTERS}
FRACTIONS = {"train": 0.6, "validation": 0.2, "holdout": 0.2}


def made(rows: int, seed: int = 1) -> list[dict[str, Any]]:
    """Orders as callers send them."""
    rng = np.random.default_rng(seed)
    return [
        {
            "amount": round(float(rng.uniform(1, 900)), 2),
            "items": int(rng.integers(1, 9)),
            "country": str(rng.choice(["de", "fr", "it"])),
            "gift": bool(rng.integers(2)),
            "email": f"caller{seed}-{number}@example.com",
            "phone": "+49 30 1",
            "age": int(rng.integers(18, 90)),
        }
        for number in range(rows)
    ]


def truths(rows: list[dict[str, Any]]) -> list[str]:
    return ["yes" if row["amount"] > 500 else "no" for row in rows]


def prediction(row: dict[str, Any]) -> dict[str, Any]:
    score = round(min(0.99, row["amount"] / 1000), 4)
    return {"label": "yes" if score > 0.5 else "no", "score": score}


@pytest.fixture
def world(usecase, orders, step, tmp_path):
    class World:
        """A use case with a frozen holdout, and the log of its production."""

        def __init__(self, **changes: Any) -> None:
            self.changes = changes
            found = usecase(
                orders.assign(shop=range(300), day=pd.date_range("2025-01-01", periods=300).astype(str)), **changes
            )
            self.cleaned = step(clean, found, step(ingest, found))
            first = step(split, found, self.cleaned)
            self.baseline = step(
                lambda out: (out / "holdout.parquet").write_bytes((first / "holdout.parquet").read_bytes())
            )
            self.holdout = pd.read_parquet(self.baseline / "holdout.parquet")
            self.log = ProductionLog(settings(), schema_builder.from_usecase(found))

        def predict(self, rows: list[dict[str, Any]], start: float = 0, **more: Any) -> list[str]:
            return self.log.answered(rows, [prediction(row) for row in rows], start, **more)

        def predict_and_label(self, rows: list[dict[str, Any]], start: float = 0, **more: Any) -> list[str]:
            ids = self.predict(rows, start)
            self.log.labelled(ids, truths(rows), **more)
            return ids

        def run(self, cutoff: str | None = CUTOFF, **retraining: Any) -> Path:
            found = usecase(None, **self.changes, retraining={**RETRAINING, **retraining})
            return step(collect_labels, found, self.cleaned, self.baseline, cutoff)

        def collect(self, **options: Any) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
            out = self.run(**options)
            tables = (pd.read_parquet(out / f"{name}.parquet") for name in ("production", "window"))
            return read_json(out / "production.json"), *tables

    return World


def left_out(out: Path) -> dict[str, int]:
    assert not (out / "production.parquet").exists()
    return read_json(out / "production.json")["left_out"]


def test_labelled_rows_are_divided_into_the_newest_window_and_what_is_trained_on(world):
    shop, rows = world(), made(400)
    shop.predict_and_label(rows)
    result, used, window = shop.collect()
    assert result["rows"] == {"production": len(used), "window": 100}
    assert used[columns.AT].max() < window[columns.AT].min()
    assert window["amount"].tolist() == [row["amount"] for row in rows[-100:]]
    assert set(used["returned"]) == {"no", "yes"}
    assert sum(result["left_out"].values()) + len(used) == result["labelled"] == 400
    assert (result["cutoff"], result["environment"], result["versions"]) == (CUTOFF, "local", {"1": len(used) + 100})
    assert (result["since"], result["until"]) == (
        used[columns.AT].min().isoformat(),
        window[columns.AT].max().isoformat(),
    )


def test_private_values_are_those_of_the_snapshot(world):
    shop, rows = world(), made(400)
    shop.predict_and_label(rows)
    _, used, _ = shop.collect()
    assert used["email"].str.startswith("tok_").all() and "phone" not in used
    assert set(used["age"]) == {"< 30", "30 – 60", "≥ 60"}
    assert not {columns.CALLER, columns.VERSION, "key"} & set(used)


def test_the_window_is_never_more_than_half_of_the_labelled_rows(world):
    shop = world()
    shop.predict_and_label(made(160))
    assert shop.collect(window_rows=1000)[0]["rows"]["window"] == 80


def test_what_hashes_to_the_holdout_is_never_trained_on(world):
    shop = world()
    shop.predict_and_label(made(400))
    result, used, _ = shop.collect()
    assert {side(bucket, FRACTIONS) for bucket in used[columns.SPLIT_BUCKET]} == {"train", "validation"}
    assert 30 < result["left_out"]["holdout side"] < 90


def test_rows_of_the_frozen_holdout_and_their_near_duplicates_are_never_trained_on(world, orders):
    shop = world()
    sent = [
        {
            **row,
            "amount": float(row["amount"]),
            "items": int(row["items"]),
            "age": int(row["age"]),
            "gift": row["gift"] == "true",
        }
        for row in orders.to_dict("records")
    ]
    held = set(zip(shop.holdout["amount"], shop.holdout["items"], strict=True))
    mine = [row for row in sent if (row["amount"], row["items"]) in held]
    hair = [{**row, "amount": row["amount"] + 0.5} for row in mine]
    far = [{**row, "amount": row["amount"] + 40} for row in mine]
    ids = shop.predict_and_label([*mine, *hair, *far, *made(400)])
    result, used, _ = shop.collect()
    near, others = ids[: 2 * len(mine)], ids[2 * len(mine) : 3 * len(mine)]
    assert not set(used[columns.ROW_ID]) & set(near)
    assert set(used[columns.ROW_ID]) & set(others)
    assert result["left_out"]["near-duplicate of the holdout"] >= len(mine) // 2


def test_label_filters_are_off_by_default(world):
    shop, rows = world(), made(600)
    ids, right = shop.predict(rows), truths(rows)
    shop.log.labelled(ids[::2], right[::2], caller="a")
    shop.log.labelled(ids[1::4], right[1::4], caller="b")
    shop.log.labelled(ids[3::4], [{"yes": "no", "no": "yes"}[truth] for truth in right[3::4]], caller="liar")
    result, used, _ = shop.collect(label_filters=[], caller_share=0.01)
    assert result["callers_left_out"] == []
    assert not {"disagreeing caller", "near-duplicate of the holdout", "caller's share"} & set(result["left_out"])
    assert len(used) + sum(result["left_out"].values()) == result["labelled"] == 600


def test_a_row_that_is_in_the_window_again_is_not_trained_on(world):
    shop, rows = world(), made(300)
    shop.predict_and_label([*rows, *rows[:100]])
    result, used, window = shop.collect()
    assert result["left_out"]["equal to the window"] == 100
    assert not set(used[columns.ROW_KEY]) & set(window[columns.ROW_KEY])


def test_with_no_registry_no_frozen_holdout_or_no_label_nothing_is_left(world):
    shop = world()
    shop.predict(made(10))
    assert list(shop.run().iterdir()) == []
    shop.predict_and_label(made(400))
    assert list(shop.run(cutoff=None).iterdir()) == []
    (shop.baseline / "holdout.parquet").unlink()
    assert list(shop.run().iterdir()) == []


def test_too_few_labelled_rows_are_reported_and_not_used(world, capsys):
    shop = world()
    shop.predict_and_label(made(99))
    assert left_out(shop.run()) == {"too few": 99}
    assert "99 labelled rows, 100 are needed" in capsys.readouterr().err


def test_predictions_and_labels_after_the_cut_off_do_not_count(world):
    shop = world()
    shop.predict_and_label(made(300), sent=1000)
    shop.predict_and_label(made(50, seed=2), start=300, sent=9000)
    shop.predict_and_label(made(70, seed=3), start=6000, sent=7000)
    assert shop.collect(cutoff=at(5000))[0]["labelled"] == 300
    assert shop.collect(cutoff=at(8000))[0]["labelled"] == 370
    assert shop.collect(cutoff=at(10_000))[0]["labelled"] == 420


def test_labels_by_key_late_repeated_unknown_and_before_their_prediction(world):
    shop, rows = world(), made(300)
    keys = [f"order {number}" for number in range(300)]
    shop.predict(rows, keys=keys)
    shop.log.labelled(keys[:5], ["no"] * 5, sent=-100, by="key")  # before the prediction: of none
    shop.log.labelled(keys, ["yes"] * 300, sent=1000, by="key")
    shop.log.labelled(keys, truths(rows), sent=90 * 86_400 - 1e6, by="key")
    shop.log.labelled([f"unknown {number}" for number in range(50)], ["no"] * 50, sent=2000, by="key")
    result, used, window = shop.collect(cutoff=at(1e8))
    assert result["labelled"] == 300
    assert window["returned"].tolist() == truths(rows)[-100:]


def test_shadow_predictions_do_not_count_and_canary_predictions_do(world):
    shop, rows = world(), made(300)
    shop.log.labelled(shop.predict(rows[:100], role="shadow", version="3"), truths(rows[:100]))
    shop.log.labelled(shop.predict(rows[100:200], role="canary", version="2"), truths(rows[100:200]))
    shop.predict_and_label(rows[200:], start=200)
    result = shop.collect(window_rows=50)[0]
    assert result["labelled"] == 200 and set(result["versions"]) == {"1", "2"}


def test_callers_who_contradict_each_other_about_a_row_keep_it_out(world):
    shop, rows = world(), made(300)
    ids = shop.predict_and_label(rows, caller="a")
    shop.log.labelled(
        ids[:10], ["no" if truth == "yes" else "yes" for truth in truths(rows[:10])], sent=2e6, caller="b"
    )
    shop.log.labelled(ids[10:20], truths(rows[10:20]), sent=2e6, caller="b")
    result, used, window = shop.collect()
    assert result["left_out"]["contradictory"] == 10
    assert not set(used[columns.ROW_ID]) & set(ids[:10])


def test_a_caller_neither_changes_nor_removes_the_labels_of_anothers_rows(world):
    shop, rows = world(), made(300)
    ids = shop.predict(rows, caller="a")
    shop.log.labelled(ids, truths(rows), caller="a")
    shop.log.labelled(ids, ["no" if truth == "yes" else "yes" for truth in truths(rows)], sent=2e6, caller="b")
    result, _, window = shop.collect()
    assert result["labelled"] == 300 and "contradictory" not in result["left_out"]
    assert window["returned"].tolist() == truths(rows)[-100:]


def test_a_caller_who_corrects_itself_contradicts_nobody(world):
    shop, rows = world(), made(300)
    ids = shop.predict(rows)
    shop.log.labelled(ids, ["no"] * 300, caller="a", sent=1e6)
    shop.log.labelled(ids, truths(rows), caller="a", sent=2e6)
    result, _, window = shop.collect()
    assert "contradictory" not in result["left_out"]
    assert window["returned"].tolist() == truths(rows)[-100:]


def test_a_caller_who_disagrees_with_everyone_else_is_reported_and_left_out(world, capsys):
    shop, rows = world(), made(600)
    ids, right = shop.predict(rows), truths(rows)
    wrong = ["no" if truth == "yes" else "yes" for truth in right]
    shop.log.labelled(ids[::2], right[::2], caller="a")
    shop.log.labelled(ids[1::4], right[1::4], caller="b")
    shop.log.labelled(ids[3::4], wrong[3::4], caller="liar")
    shop.log.labelled(ids[0:200:2], wrong[0:200:2], caller="liar", sent=2e6)  # over the labels of another
    result, used, window = shop.collect()
    assert [one["caller"] for one in result["callers_left_out"]] == ["liar"]
    assert result["left_out"]["disagreeing caller"] == 150 and "contradictory" not in result["left_out"]
    both = pd.concat([used, window])
    assert (both["returned"] == np.where(both["amount"] > 500, "yes", "no")).all()
    (line,) = audit.lines("orders")
    assert (line.action, line.who) == ("training.caller_left_out", "slipway train")
    assert line.evidence["caller"] == "liar" and line.evidence["cutoff"] == CUTOFF
    assert "Caller liar disagrees" in line.why and line.why in capsys.readouterr().err


def test_no_caller_gives_more_than_its_share(world):
    shop, rows = world(), made(800)
    ids = shop.predict(rows)
    shop.log.labelled(ids[:500], truths(rows[:500]), caller="big")
    for number in range(6):
        part = slice(500 + 50 * number, 550 + 50 * number)
        shop.log.labelled(ids[part], truths(rows[part]), caller=f"small{number}")
    result, used, _ = shop.collect(caller_share=0.2)
    given = dict(zip(ids, ["big"] * 500 + [f"small{n}" for n in range(6) for _ in range(50)], strict=True))
    shares = used[columns.ROW_ID].map(given).value_counts(normalize=True)
    assert shares["big"] <= 0.25 and result["left_out"]["caller's share"] > 200


def test_one_caller_alone_is_not_capped(world):
    shop = world()
    shop.predict_and_label(made(400))
    assert "caller's share" not in shop.collect(caller_share=0.2)[0]["left_out"]


def test_labels_of_one_class_only_are_rows_like_any_other(world):
    shop, rows = world(), made(300)
    shop.log.labelled(shop.predict(rows), ["yes"] * 300)
    result, used, window = shop.collect()
    assert set(used["returned"]) == set(window["returned"]) == {"yes"}


def test_a_week_without_a_label_leaves_what_was_labelled_before(world):
    shop = world()
    shop.predict_and_label(made(300))
    shop.predict(made(300, seed=2), start=86_400)
    before = shop.collect(cutoff=at(2e6))
    after = shop.collect(cutoff=at(2e6 + 7 * 86_400))
    assert before[1].equals(after[1]) and before[0]["rows"] == after[0]["rows"]


def test_events_whose_values_are_not_what_a_feature_has_become_are_left_out(world):
    shop = world()
    invalid = [{**row, "items": 2.5, "country": 7} for row in made(20, seed=2)]
    shop.predict_and_label([*invalid, *made(300)])
    assert shop.collect()[0]["left_out"]["unusable"] == 20


def test_clean_py_decides_on_production_rows_too(world, tmp_path):
    shop = world()
    shop.predict_and_label(made(400))
    text = "def clean(frame):\n    return frame[frame['items'] < 8]\n"
    (tmp_path / "usecases" / "orders" / "clean.py").write_text(text)
    result, used, window = shop.collect()
    assert result["left_out"]["cleaned away"] > 20 and used["items"].max() == window["items"].max() == 7


def test_rows_whose_side_a_prediction_does_not_tell_are_left_out(world):
    shop = world(split={"key": ["shop"]})
    shop.predict_and_label(made(300))
    assert left_out(shop.run()) == {"side not known": 300}


def test_a_group_that_is_a_feature_stays_on_its_side(world):
    shop = world(split={"group": "email"})
    rows = [{**row, "email": f"group {number % 40}"} for number, row in enumerate(made(500))]
    shop.predict_and_label(rows)
    result, used, window = shop.collect(window_rows=10)
    assert used.groupby("email")[columns.SIDE].nunique().max() == 1
    assert not set(used[columns.SPLIT_GROUP]) & set(window[columns.SPLIT_GROUP])
    assert result["left_out"]["holdout side"] > 0


def test_where_time_divides_the_newer_rows_validate(world):
    shop = world(split={"time": "day"})
    shop.predict_and_label(made(400))
    _, used, _ = shop.collect()
    trained, validated = used[used[columns.SIDE] == "train"], used[used[columns.SIDE] == "validation"]
    assert trained[columns.AT].max() < validated[columns.AT].min()
    assert len(validated) == pytest.approx(len(used) / 4, abs=20)


def test_broken_files_of_the_log_cost_no_label_and_are_in_the_report(world):
    shop = world()
    shop.predict_and_label(made(400))
    whole, *tables = shop.collect()
    break_log(settings(), "orders", START)
    result, *same = shop.collect()
    assert [frame.equals(other) for frame, other in zip(tables, same, strict=True)] == [True, True]
    assert "broken in 6 files" in result.pop("log")
    assert result == whole
