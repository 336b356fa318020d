from __future__ import annotations

import json
import time

import pytest

from slipway.contracts.bundle.json_limits import problem


@pytest.mark.parametrize("content", [b"", b"{}", b'{"a": "[[[[{{{{", "b": [1, 2]}', json.dumps([[0]] * 1000).encode()])
def test_what_we_write_ourselves_is_fine(content):
    assert problem(content) is None


@pytest.mark.parametrize("content", [b"[" * 33, b'{"a":' * 33, b'"\\"" ' + b"[" * 100_000, b'[{"a": "\\\\"},' * 40])
def test_deep_nesting_is_refused(content):
    assert problem(content) == "it is nested more than 32 deep"


def test_brackets_are_counted():
    assert problem(b"[]" * 600_000) == "it has more than 1,000,000 brackets"


@pytest.mark.parametrize("content", [b'"' + b'\\"' * 2_000_000, b'"' * 4_000_001, b'"\\', b'"' + b"\\" * 4_000_000])
def test_strings_without_an_end_take_no_longer_than_others(content):
    started = time.monotonic()
    assert problem(content) is None
    assert time.monotonic() - started < 5
