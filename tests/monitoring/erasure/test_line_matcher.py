"""Which lines of the log are the subject's: by what an event's fields say, and by its bytes where it is no event."""

from __future__ import annotations

import pytest

from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.subject import FEEDBACK, PREDICTION, Subject, Traces, named_by
from tests.support.prediction_log.sample_events import USECASE, label, prediction
from tests.support.prediction_log.subjects import BY_KEY, BY_ROW_KEY, KEY, OTHER, ROW_KEY

FOUND = Traces(rows={"a"}, keys={KEY, "k"})


def test_a_predictions_event_is_read_with_all_that_it_refers_to() -> None:
    line = prediction("a", key=KEY, row_key=ROW_KEY).replace(b'"age":40', b'"photo":{"sha256":"%b"}' % (b"a" * 64))
    event = LineMatcher(PREDICTION, BY_KEY, Traces()).event(line)
    assert event is not None
    assert (event.id, event.day) == ("a:champion:1", "2026-03-01")
    assert (event.row_id, event.key, event.row_key, event.images) == ("a", KEY, ROW_KEY, {"a" * 64})


@pytest.mark.parametrize(
    "line",
    [
        prediction("b", key=OTHER),
        prediction("b"),
        prediction("b").replace(b'"purpose":"car"', b'"key":"customer-7"'),
        prediction("b", key=f'x","key":"{KEY}'),
    ],
    ids=["another key", "no key", "a feature of that name", "a key that looks like an event"],
)
def test_events_of_others_stay_whatever_they_hold(line: bytes) -> None:
    assert LineMatcher(PREDICTION, BY_KEY, FOUND).event(line) is None


@pytest.mark.parametrize(
    "key",
    ["7", 'say "k"', "ключ", "a\\b", "../x", "a" * 1024],
    ids=["7", "quotes", "Cyrillic", "a backslash", "a path", "long"],
)
def test_any_key_is_found(key: str) -> None:
    matcher = LineMatcher(PREDICTION, Subject(USECASE, "key", key), Traces())
    assert matcher.event(prediction("a", key=key)) is not None
    assert matcher.event(prediction("a", key=key + "0")) is None


@pytest.mark.parametrize(
    ("subject", "line", "is_its"),
    [
        (BY_KEY, label(1, 1, row="a", label="bad"), True),
        (BY_KEY, label(1, 1, key=KEY, label="bad"), True),
        (BY_KEY, label(1, 1, key=OTHER, label="bad"), False),
        (BY_KEY, label(1, 1, row="b", label="bad"), False),
        (BY_ROW_KEY, label(1, 1, row="a", label="bad"), True),
        (BY_ROW_KEY, label(1, 1, key="k", label="bad"), True),
        (BY_ROW_KEY, label(1, 1, key=OTHER, label="bad"), False),
    ],
)
def test_labels_are_found_by_their_row_and_by_the_keys_of_the_subject(
    subject: Subject, line: bytes, is_its: bool
) -> None:
    assert (LineMatcher(FEEDBACK, subject, FOUND).event(line) is not None) == is_its


def test_a_line_that_is_no_event_is_the_subjects_if_it_mentions_it() -> None:
    matcher = LineMatcher(PREDICTION, BY_KEY, Traces())
    cut = prediction("a", key=KEY)[:-40]
    assert matcher.mentions(cut)
    assert getattr(matcher.event(cut), "id", None) == ""
    assert matcher.event(b"\x00\xff" * 100) is None


def test_a_damaged_field_before_hides_no_name_of_the_subject() -> None:
    matcher = LineMatcher(PREDICTION, BY_KEY, FOUND)
    assert matcher.mentions(b'{"slipway":{"row_id":"torn\x00\x00{"slipway":{"key":"customer-7","row_id":"b"}}')
    assert not matcher.mentions(b'{"slipway":{"key":"customer-7')
    assert not matcher.mentions(b'"key":"' + b"\\" * 10_000_000)


def test_without_anything_to_look_for_nothing_is_found() -> None:
    assert named_by(FEEDBACK, BY_ROW_KEY, Traces()) == {}
    assert LineMatcher(FEEDBACK, BY_ROW_KEY, Traces()).event(label(1, 1, key="k", label="bad")) is None
