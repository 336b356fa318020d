"""Each field of each response that a client reads, changed in each way: it is read, or refused with one error of ours.

What a client does read is then of the type that it promises, so that nothing behind it meets what no server sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks.fuzz.clients import READS, is_read
from bentos.launcher import launcher
from slipway.errors import ServiceError, SlipwayError
from slipway.settings import settings
from tests.slipway.clients.mutations import answer_all, mutations

URL = "http://127.0.0.1:9"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    monkeypatch.setattr("slipway.clients.mlflow.rest._MAX_PAGES", 3)
    return answer_all(monkeypatch)


@pytest.mark.parametrize("name", READS)
def test_the_response_of_a_server_is_read(name, answers):
    answers(json.dumps(READS[name].document).encode())
    assert is_read(READS[name], URL)


@pytest.mark.parametrize("name", READS)
def test_each_field_changed_in_each_way_is_read_or_refused(name, answers):
    for content in mutations(READS[name].document):
        answers(content)
        is_read(READS[name], URL)


@pytest.mark.parametrize("name", READS)
def test_what_is_no_document_is_refused(name, answers):
    for content in (b"", b"\xef\xbb\xbf{}", b"\x00" * 1000, b"<html>", b"{" * 100_000, b"null", b"7"):
        answers(content)
        assert not is_read(READS[name], URL), content[:20]


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"waits_for": 7}', b'{"detail": ["a"]}', b"\xff", b"[" * 100_000])
def test_the_launcher_says_so_where_the_service_answers_something_else(content, answers):
    answers(content)
    with pytest.raises((ServiceError, LookupError, TypeError, ValueError)):
        launcher.announce(settings(), ["loans"], lambda _: None)
    assert issubclass(ServiceError, SlipwayError)
