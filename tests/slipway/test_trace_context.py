"""A trace is the caller's where the caller has a good one, and ends where its block ends."""

from __future__ import annotations

import threading
from contextvars import copy_context

import pytest

from slipway.trace_context import (
    VARIABLE,
    current_trace_id,
    enter_trace,
    is_trace_id,
    new_trace_id,
    read_traceparent,
    traced,
    traceparent,
)

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (f"00-{ID}-00f067aa0ba902b7-01", ID),
        (f"cc-{ID}-00f067aa0ba902b7-01-what-a-later-version-adds", ID),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{ID.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{ID}-01", None),
        ("", None),
        ("\udcff", None),
    ],
)
def test_a_traceparent_is_read_as_the_recommendation_says(value: str, read: str | None) -> None:
    assert read_traceparent(value.encode(errors="replace")) == read


def test_a_block_has_its_trace_and_the_one_before_comes_back() -> None:
    with traced(ID):
        with traced(other := new_trace_id()):
            assert current_trace_id() == other
        assert current_trace_id() == ID
        assert read_traceparent((traceparent() or "").encode()) == ID
    assert (current_trace_id(), traceparent()) == (None, None)


def test_a_process_has_the_trace_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"00-{ID}-00f067aa0ba902b7-01")
    assert current_trace_id() == ID
    monkeypatch.setenv(VARIABLE, "none of ours")
    assert current_trace_id() is None


def test_what_a_request_enters_stays_in_its_own_context() -> None:
    copy_context().run(enter_trace, ID)
    assert current_trace_id() is None


def test_threads_begin_without_a_trace() -> None:
    found: list[str | None] = []
    with traced(ID):
        thread = threading.Thread(target=lambda: found.append(current_trace_id()))
        thread.start()
        thread.join()
    assert found == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(ID, True), ("0" * 32, False), (ID.upper(), False), (ID[:31], False), (ID + "\n", False), ("", False)],
)
def test_only_a_trace_id_is_one(text: str, expected: bool) -> None:
    assert is_trace_id(text) is expected
