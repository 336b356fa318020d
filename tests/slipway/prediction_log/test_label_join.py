from __future__ import annotations

import random

import pytest

from monitoring.log_shipping.shipper import ParquetSink, Shipper
from tests.support.sample_events import START, USECASE, label, prediction


def held(relation) -> dict[str, object]:
    """Map each row to its label; a row that is returned twice would change the number of pairs."""
    pairs = relation.select('"slipway.row_id", coalesce(label_true, value_true::VARCHAR)').fetchall()
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_a_label_by_id_finds_its_row(log, write):
    write(prediction("a", 1), prediction("b", 2))
    write(label(50, 40, row="a", label="bad"), label(50, 40, row="unheard-of", label="bad"), stream="feedback")
    relation = log.labelled(USECASE)
    assert held(relation) == {"a": "bad"}
    assert {"slipway.features", "slipway.score", "label_true", "value_true", "known_at"} <= set(relation.columns)


def test_a_label_by_key_means_the_latest_answer_before_it_was_known(log, write):
    write(prediction("a", 1, key="k"), prediction("b", 5, key="k"), prediction("c", 9, key="k"))
    write(prediction("s", 6, key="k", role="shadow", answered=False), prediction("other", 6, key="q"))
    write(label(50, 7, key="k", label="bad"), stream="feedback")
    assert held(log.labelled(USECASE)) == {"b": "bad"}


def test_a_key_known_in_the_very_moment_of_an_answer_means_the_one_before(log, write):
    write(prediction("a", 1, key="k"), prediction("b", 5, key="k"))
    write(label(50, 5, key="k", label="bad"), stream="feedback")
    assert held(log.labelled(USECASE)) == {"a": "bad"}


def test_a_key_that_means_a_prediction_after_the_window_labels_none_in_it(log, write):
    write(prediction("a", 1, key="k"), prediction("b", 9, key="k"))
    write(label(50, 20, key="k", label="bad"), stream="feedback")
    until = START.replace(second=5)
    assert held(log.labelled(USECASE, until=until)) == {}
    assert held(log.labelled(USECASE, since=until)) == {"b": "bad"}


def test_a_label_that_comes_after_the_window_counts(log, write):
    write(prediction("a", 1))
    write(label(86_400 * 40, 86_400 * 39, row="a", label="bad"), stream="feedback")
    assert held(log.labelled(USECASE, since=START, until=START.replace(second=5))) == {"a": "bad"}


def test_the_label_known_last_holds_then_the_one_sent_last(log, write):
    write(prediction("a", 1), prediction("b", 1, key="k"))
    write(
        label(60, 10, row="a", label="first known"),
        label(50, 20, row="a", label="sent first"),
        label(55, 20, row="a", label="holds"),
        label(40, 15, row="b", label="by id"),
        label(30, 16, key="k", label="by key, known later"),
        stream="feedback",
    )
    assert held(log.labelled(USECASE)) == {"a": "holds", "b": "by key, known later"}


def test_what_is_no_label_does_not_hide_one_that_is(log, write):
    write(prediction("a", 1), prediction("b", 1))
    write(
        label(20, 20, row="a", label="good"),
        label(30, 30, row="a", label="dog"),
        label(30, 30, row="a"),
        label(30, 30, row="b", label="dog"),
        stream="feedback",
    )
    assert held(log.labelled(USECASE, labels=["good", "bad"])) == {"a": "good"}
    assert held(log.labelled(USECASE)) == {"a": "dog", "b": "dog"}
    assert held(log.labelled(USECASE, labels=[])) == {}


def test_a_value_is_a_label_where_the_target_is_a_number(log, write):
    write(prediction("a", 1), prediction("b", 1))
    infinite = label(30, 30, row="b", value=1.5).replace(b"1.5", b"1e999")
    write(label(20, 20, row="a", value=1.5), infinite, stream="feedback")
    assert held(log.labelled(USECASE)) == {"a": "1.5"}


def test_labels_that_were_sent_later_or_by_somebody_left_out_have_not_been_sent(log, write):
    write(prediction("a", 1), prediction("b", 1), prediction("c", 1))
    write(
        label(20, 20, row="a", label="first", caller="x"),
        label(30, 30, row="a", label="over it", caller="y"),
        label(40, 10, row="b", label="late", caller="x"),
        label(25, 25, row="c", label="nobody's"),
        stream="feedback",
    )
    assert held(log.labelled(USECASE)) == {"a": "over it", "b": "late", "c": "nobody's"}
    assert held(log.labelled(USECASE, sent_until=START.replace(second=40))) == {"a": "over it", "c": "nobody's"}
    assert held(log.labelled(USECASE, without=["y"])) == {"a": "first", "b": "late", "c": "nobody's"}
    assert held(log.labelled(USECASE, without=["x", ""])) == {"a": "over it"}


def test_each_callers_latest_label_of_a_row_counts(log, write):
    write(prediction("a", 1), prediction("b", 1))
    write(
        label(20, 20, row="a", label="first", caller="x"),
        label(25, 25, row="a", label="corrected", caller="x"),
        label(30, 30, row="a", label="another's", caller="y"),
        label(30, 30, row="b", label="nobody's"),
        stream="feedback",
    )
    found = log.labelled(USECASE, each_caller=True).select('"slipway.row_id", label_caller, label_true').fetchall()
    assert sorted(found) == [("a", "x", "corrected"), ("a", "y", "another's"), ("b", "", "nobody's")]


def expected(predictions: list[dict], labels: list[dict]) -> dict[str, str]:
    """The rule of the join, in plain Python."""
    best: dict[str, tuple] = {}
    for each in labels:
        row = each["row"]
        if row is None:
            before = [p for p in predictions if p["answered"] and p["key"] == each["key"] and p["at"] < each["known"]]
            row = max(before, key=lambda p: p["at"])["row"] if before else None
        rank = (each["known"], each["sent"], each["label"])
        if row is not None and rank > best.get(row, ()):
            best[row] = rank
    answered = {p["row"] for p in predictions if p["answered"]}
    return {row: rank[2] for row, rank in best.items() if row in answered}


@pytest.mark.parametrize("seed", range(4))
def test_the_join_is_the_rule_whatever_is_sent_in_whatever_order(log, config, write, seed):
    random_ = random.Random(seed)
    moments = random_.sample(range(1000), 120)
    predictions = [
        {"row": f"r{n}", "at": moment, "key": random_.choice([None, *"kqxyz"]), "answered": random_.random() < 0.8}
        for n, moment in enumerate(moments)
    ]
    labels = []
    for n in range(150):
        by_id = random_.random() < 0.5
        row, key = (f"r{random_.randrange(130)}", None) if by_id else (None, random_.choice("kqxyzw"))
        labels.append({"row": row, "key": key, "known": random_.randrange(1100), "sent": 2000 + n, "label": f"l{n:03}"})
    lines = [prediction(p["row"], p["at"], key=p["key"], answered=p["answered"]) for p in predictions]
    feedback = [label(f["sent"], f["known"], row=f["row"], key=f["key"], label=f["label"]) for f in labels]
    feedback += random_.sample(feedback, 10)
    random_.shuffle(lines)
    random_.shuffle(feedback)
    write(*lines[:60])
    write(*feedback[:80], stream="feedback")
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    write(*lines[40:])
    write(*feedback[80:], stream="feedback")
    assert held(log.labelled(USECASE)) == expected(predictions, labels)
