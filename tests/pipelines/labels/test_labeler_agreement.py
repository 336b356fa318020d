"""Callers: whose labels are unlike everyone else's, and how many rows one of them may give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.labels.labeler_agreement import find_disagreeing, within_share


def labels_of(rows: int, shares: dict[str, float], seed: int = 0) -> pd.DataFrame:
    """Labels by several callers in the order of time; the model is right about four rows of five."""
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    frame = pd.DataFrame({"caller": rng.choice(list(shares), rows, p=list(shares.values())), "score": score})
    frame["label"] = np.where(score > 0.5, "bad", "good")
    frame["truth"] = flipped(frame["label"], rng.random(rows) < 0.2)
    frame["value"] = np.nan
    return frame


def flipped(labels: pd.Series, which: np.ndarray | pd.Series) -> pd.Series:
    return labels.where(~np.asarray(which), labels.map({"good": "bad", "bad": "good"}))


def test_a_caller_who_says_the_opposite_is_found_and_nobody_else():
    frame = labels_of(1000, {"a": 0.4, "b": 0.35, "c": 0.15, "": 0.1})
    frame["truth"] = flipped(frame["truth"], frame["caller"] == "c")
    (found,) = find_disagreeing(frame)
    assert found.caller == "c" and found.rows == (frame["caller"] == "c").sum()
    assert found.rate > 0.7 and found.others < 0.3 and found.p < 0.001
    assert "Caller c disagrees with the predictions in" in found.sentence and "p < 0.001" in found.sentence


def test_one_of_many_rows_that_are_wrong_is_enough_when_it_is_half_of_a_callers():
    frame = labels_of(4000, {"a": 0.5, "b": 0.4, "c": 0.1})
    mine = (frame["caller"] == "c") & (np.arange(4000) % 2 == 0)
    frame["truth"] = flipped(frame["truth"], mine)
    assert [one.caller for one in find_disagreeing(frame)] == ["c"]


def test_a_caller_who_only_repeats_the_answers_is_found_too():
    frame = labels_of(2000, {"a": 0.5, "b": 0.3, "echo": 0.2})
    frame.loc[frame["caller"] == "echo", "truth"] = frame["label"]
    assert [one.caller for one in find_disagreeing(frame)] == ["echo"]


def test_two_wrong_callers_are_found_one_after_the_other():
    frame = labels_of(3000, {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1})
    frame["truth"] = flipped(frame["truth"], frame["caller"].isin(["c", "d"]))
    assert sorted(one.caller for one in find_disagreeing(frame)) == ["c", "d"]


def test_a_world_that_changes_for_everybody_makes_nobody_a_stranger():
    frame = labels_of(3000, {"a": 0.5, "b": 0.3, "c": 0.2})
    frame["truth"] = flipped(frame["truth"], np.arange(3000) > 1500)
    assert find_disagreeing(frame) == []


def test_who_labels_more_of_the_time_since_the_change_is_no_stranger():
    frame = labels_of(4000, {"a": 0.5, "b": 0.5})
    later = np.arange(4000) > 2000
    rng = np.random.default_rng(1)
    frame["caller"] = np.where(rng.random(4000) < np.where(later, 0.9, 0.3), "mostly later", "mostly before")
    frame["truth"] = flipped(frame["truth"], later)
    assert find_disagreeing(frame) == []


def test_who_has_the_harder_rows_is_no_stranger():
    frame = labels_of(4000, {"a": 1.0})
    rng = np.random.default_rng(1)
    frame["caller"] = np.where(frame["label"] == "bad", rng.choice(["a", "b"], 4000, p=[0.2, 0.8]), "a")
    frame["truth"] = flipped(frame["label"], rng.random(4000) < np.where(frame["label"] == "bad", 0.45, 0.05))
    assert find_disagreeing(frame) == []


@pytest.mark.parametrize("shares", [{"only": 1.0}, {"a": 0.98, "few": 0.02}])
def test_a_single_caller_and_one_with_few_labels_are_not_compared(shares):
    frame = labels_of(1000, shares)
    frame["truth"] = flipped(frame["truth"], frame["caller"] == list(shares)[-1])
    assert find_disagreeing(frame) == []


def test_of_two_callers_the_one_with_fewer_labels_is_the_stranger():
    frame = labels_of(1000, {"many": 0.7, "fewer": 0.3})
    frame["truth"] = flipped(frame["truth"], frame["caller"] == "many")
    assert [one.caller for one in find_disagreeing(frame)] == ["fewer"]


def test_values_in_another_unit_are_found():
    rng = np.random.default_rng(3)
    value = rng.normal(100, 20, 1000)
    frame = pd.DataFrame({"caller": rng.choice(["a", "b", "c"], 1000, p=[0.5, 0.3, 0.2]), "value": value})
    frame = frame.assign(label=None, score=np.nan, truth=value + rng.normal(0, 5, 1000))
    assert find_disagreeing(frame) == []
    frame.loc[frame["caller"] == "c", "truth"] *= 10
    assert [one.caller for one in find_disagreeing(frame)] == ["c"]


def test_equal_callers_are_left_out_in_one_world_of_a_hundred_at_most():
    alarms = sum(
        bool(find_disagreeing(labels_of(600, {"a": 0.3, "b": 0.3, "c": 0.2, "d": 0.2}, seed))) for seed in range(100)
    )
    assert alarms <= 4  # 1 % each: five or more would be a chance of 1 in 300


def test_nobody_gives_more_than_the_share_and_the_newest_rows_stay():
    callers = pd.Series(["big"] * 700 + [f"small{n % 8}" for n in range(300)] + ["big"] * 100)
    kept = within_share(callers, 0.2)
    counts = callers[kept].value_counts()
    assert counts["big"] <= 0.2 * kept.sum() < counts["big"] + 1
    assert counts.drop("big").sum() == 300
    assert kept[-counts["big"] :].all() or kept[1000:].sum() == min(100, counts["big"])


def test_fewer_callers_than_the_share_needs_give_equally_much():
    assert within_share(pd.Series(["only"] * 50), 0.2).all()
    kept = within_share(pd.Series(["a"] * 80 + ["b"] * 30), 0.2)
    assert kept.sum() == 60 and not kept[:50].any()
    assert within_share(pd.Series([], dtype=object), 0.2).size == 0
