"""Scraping of servers that respond, refuse, or are away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitoring.telemetry.scraper import Scraper, scrape_one
from tests.monitoring.telemetry.test_exposition import OBJECTIVES, exported
from tests.support.doubles.http_double import Answer, HttpDouble, Refused

NOWHERE = "http://127.0.0.1:9"


class Metrics(HttpDouble):
    """Server whose `/metrics` has this content, or this status."""

    content, status = exported().encode(), 200

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        assert path == "/metrics"
        if self.status != 200:
            raise Refused(self.status, "REFUSED", "no")
        return self.content


@pytest.fixture
def server() -> Iterator[Metrics]:
    with Metrics() as double:
        yield double


def test_a_server_that_responds_is_remembered_with_its_objectives(server: Metrics) -> None:
    scraper = Scraper([server.uri, NOWHERE])
    assert scraper.once({"loans"}, 0) == []
    assert scraper.once({"loans"}, 60) == []
    assert scraper.objectives == {"loans": OBJECTIVES}
    assert scraper.history.usecases["loans"].last_hour(60, 0.95).requests[-1] == 0
    assert scraper.once({"cars"}, 120) == []
    assert (scraper.objectives, scraper.history.usecases) == ({}, {}), "a use case that is gone is forgotten"


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (401, b"", "refuses its metrics: set SLIPWAY_API_KEY to a key with the scope `read`."),
        (403, b"", "refuses its metrics"),
        (500, b"", "answered /metrics with 500"),
        (200, b"slipway_objective_x{", "its /metrics is not in Prometheus' text format"),
    ],
)
def test_a_server_that_refuses_says_what_to_do(server: Metrics, status: int, content: bytes, error: str) -> None:
    server.status, server.content = status, content
    [line] = Scraper([server.uri]).once({"loans"}, 0)
    assert line.startswith(server.uri)
    assert error in line


def test_what_is_no_text_is_no_metric(server: Metrics) -> None:
    server.content = b"\xff\xfe\x00slipway_requests_total{"
    assert Scraper([server.uri]).once({"loans"}, 0) == []


def test_a_server_that_is_away_is_the_reconcilers_to_report() -> None:
    assert Scraper([NOWHERE]).once({"loans"}, 0) == []
    assert "is no address" in scrape_one("ftp://a", None, {"loans"}).error
