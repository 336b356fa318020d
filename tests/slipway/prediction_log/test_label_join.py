from __future__ import annotations

import random
from collections import Counter

import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.settings import settings
from tests.support.prediction_log.sample_events import START, USECASE, label, prediction
from tests.support.prediction_log.watched_loans import USECASE_YAML


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
        label(30, 30, row="a", label="over it", caller="x"),
        label(30, 30, row="a", label="over it", caller="y"),
        label(40, 10, row="b", label="late", caller="x"),
        label(25, 25, row="c", label="nobody's"),
        stream="feedback",
    )
    assert held(log.labelled(USECASE)) == {"a": "over it", "b": "late", "c": "nobody's"}
    assert held(log.labelled(USECASE, sent_until=START.replace(second=40))) == {"a": "over it", "c": "nobody's"}
    assert held(log.labelled(USECASE, sent_until=START.replace(second=30))) == {"a": "first", "c": "nobody's"}
    assert held(log.labelled(USECASE, without=["y"])) == {"a": "over it", "b": "late", "c": "nobody's"}
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


def let_anyone_label(config, monkeypatch) -> None:
    folder = config.var.parent / "usecases" / USECASE
    folder.mkdir(parents=True)
    (folder / "usecase.yaml").write_text(USECASE_YAML.replace("name: loans", f"name: {USECASE}") + ANY)
    monkeypatch.setenv("SLIPWAY_USECASES", str(folder.parent))
    settings.cache_clear()


ANY = "feedback: {labelers: any}\n"
ROWS = ("own", "other's", "nobody's")
OWNERS = dict(zip(ROWS, ["a", "b", None], strict=True))


@pytest.fixture
def rows(write):
    """Three rows: a caller's own, another caller's, and one whose caller is not known; all have the same key."""
    write(*(prediction(row, n, key="k", caller=OWNERS[row]) for n, row in enumerate(ROWS)))


def test_by_default_a_caller_labels_its_own_rows_and_those_of_nobody(log, write, rows):
    write(*(label(20, 20, row=row, label="x", caller="a") for row in ROWS), stream="feedback")
    assert held(log.labelled(USECASE)) == {"own": "x", "nobody's": "x"}


def test_a_key_means_rows_of_the_caller_who_sent_it_and_of_nobody(log, write, rows):
    write(label(20, 20, key="k", label="x", caller="a"), stream="feedback")
    assert held(log.labelled(USECASE)) == {"own": "x", "nobody's": "x"}


def test_a_prediction_with_the_key_of_another_takes_no_label_from_it(log, write, config, monkeypatch):
    write(prediction("a's", 1, key="k", caller="a"), prediction("b's", 2, key="k", caller="b"))
    write(label(20, 20, key="k", label="x", caller="a"), stream="feedback")
    assert held(log.labelled(USECASE)) == {"a's": "x"}
    let_anyone_label(config, monkeypatch)
    assert held(log.labelled(USECASE)) == {"a's": "x", "b's": "x"}


def test_anyone_labels_any_row_where_the_use_case_says_so(log, write, rows, config, monkeypatch):
    write(*(label(20, 20, row=row, label="x", caller="c") for row in ROWS), stream="feedback")
    assert held(log.labelled(USECASE)) == {"nobody's": "x"}
    let_anyone_label(config, monkeypatch)
    assert held(log.labelled(USECASE)) == dict.fromkeys(ROWS, "x")


@pytest.mark.parametrize("content", [None, "not: [yaml", "name: somebody else\n"])
def test_without_a_readable_use_case_callers_label_their_own_rows(log, write, rows, config, monkeypatch, content):
    let_anyone_label(config, monkeypatch)
    path = config.var.parent / "usecases" / USECASE / "usecase.yaml"
    path.unlink() if content is None else path.write_text(content)
    write(*(label(20, 20, row=row, label="x", caller="a") for row in ROWS), stream="feedback")
    assert held(log.labelled(USECASE)) == {"own": "x", "nobody's": "x"}


@pytest.mark.parametrize("others", [["c"], ["c", "d", "e"], ["c", ""]])
def test_the_label_of_the_rows_own_caller_stands_whoever_contradicts(log, write, rows, config, monkeypatch, others):
    let_anyone_label(config, monkeypatch)
    write(label(20, 20, row="own", label="mine", caller="a"), stream="feedback")
    write(*(label(30, 30, row="own", label="theirs", caller=caller or None) for caller in others), stream="feedback")
    assert held(log.labelled(USECASE)) == {"own": "mine"}


def test_most_callers_decide_about_the_row_of_another_and_one_against_one_leaves_it_without_a_label(
    log, write, rows, config, monkeypatch
):
    let_anyone_label(config, monkeypatch)
    write(*(label(20, 20, row=row, label="x", caller="c") for row in ROWS), stream="feedback")
    write(label(10, 10, row="own", label="x", caller="d"), stream="feedback")
    write(*(label(30 + n, 30, row=row, label="y", caller="e") for n in range(3) for row in ROWS), stream="feedback")
    assert held(log.labelled(USECASE)) == {"own": "x"}
    assert len(log.labelled(USECASE, each_caller=True)) == 7


def test_a_label_of_the_machine_itself_counts_for_any_row(log, write, rows):
    write(*(label(20, 20, row=row, label="x") for row in ROWS), stream="feedback")
    assert held(log.labelled(USECASE)) == dict.fromkeys(ROWS, "x")


def test_a_time_in_the_future_holds_no_longer_than_the_next_label(log, write):
    write(prediction("a", 1, key="k"), prediction("b", 40, key="k"))
    far = label(30, 30, row="a", label="for ever").replace(b"2026-03-01T00:00:30", b"2999-12-31T00:00:00", 2)
    far = far.replace(b'"@timestamp":"2999-12-31T00:00:00', b'"@timestamp":"2026-03-01T00:00:30')
    by_key = label(35, 300, key="k", label="of a later prediction")
    assert far.count(b"2999") == 1
    write(far, by_key, label(36, 36, row="a", label="corrected"), stream="feedback")
    assert held(log.labelled(USECASE)) == {"a": "corrected"}


def expected(predictions: list[dict], labels: list[dict], any_labeler: bool) -> dict[str, str]:
    """The rule of the join, in plain Python."""
    answered = {p["row"]: p for p in predictions if p["answered"]}
    votes: dict[str, dict[str, tuple]] = {}
    for each in labels:
        for row in _named(each, answered):
            owner = answered[row]["caller"]
            if any_labeler or owner is None or each["caller"] in (owner, None):
                rank = (each["known"], each["sent"], each["label"])
                callers = votes.setdefault(row, {})
                callers[each["caller"]] = max(rank, callers.get(each["caller"], ()))
    return {row: found for row, callers in votes.items() if (found := _decided(callers, answered[row]["caller"]))}


def _named(label: dict, answered: dict[str, dict]) -> list[str]:
    if label["row"] is not None:
        return [label["row"]] if label["row"] in answered else []
    latest: dict[str | None, dict] = {}
    for each in sorted(answered.values(), key=lambda p: p["at"]):
        if each["key"] == label["key"] and each["at"] < label["known"]:
            latest[each["caller"]] = each
    return [each["row"] for each in latest.values()]


def _decided(callers: dict[str | None, tuple], owner: str | None) -> str | None:
    if owner is not None and owner in callers:
        return callers[owner][2]
    (first, most), *others = Counter(rank[2] for rank in callers.values()).most_common()
    return None if others and others[0][1] == most else first


@pytest.mark.parametrize("any_labeler", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_join_is_the_rule_whatever_is_sent_in_whatever_order(log, config, write, monkeypatch, seed, any_labeler):
    if any_labeler:
        let_anyone_label(config, monkeypatch)
    rng = random.Random(seed)
    predictions = [
        {
            "row": f"r{n}",
            "at": moment,
            "key": rng.choice([None, *"kqxyz"]),
            "answered": rng.random() < 0.8,
            "caller": rng.choice([None, "a", "b"]),
        }
        for n, moment in enumerate(rng.sample(range(1000), 120))
    ]
    labels = []
    for n in range(300):
        row, key = (f"r{rng.randrange(130)}", None) if rng.random() < 0.5 else (None, rng.choice("kqxyzw"))
        known, caller = rng.randrange(1100), rng.choice([None, *"abcd"])
        labels.append({"row": row, "key": key, "known": known, "sent": 2000 + n, "caller": caller})
        labels[-1]["label"] = rng.choice("xyz")
    lines = [
        prediction(p["row"], p["at"], key=p["key"], answered=p["answered"], caller=p["caller"]) for p in predictions
    ]
    feedback = [
        label(f["sent"], f["known"], row=f["row"], key=f["key"], label=f["label"], caller=f["caller"]) for f in labels
    ]
    feedback += rng.sample(feedback, 10)
    rng.shuffle(lines)
    rng.shuffle(feedback)
    write(*lines[:60])
    write(*feedback[:80], stream="feedback")
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    write(*lines[40:])
    write(*feedback[80:], stream="feedback")
    whole = expected(predictions, labels, any_labeler)
    assert held(log.labelled(USECASE)) == whole
    for each in predictions[:8]:
        assert held(log.labelled_row(USECASE, each["row"], each["key"])).get(each["row"]) == whole.get(each["row"])
