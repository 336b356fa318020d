"""Elasticsearch on the status page: that it responds, what its streams need, and nothing where there is none."""

from __future__ import annotations

import json

import pytest

from monitoring.elk.setup import apply, plan
from monitoring.status import dashboard
from monitoring.status.search_status import SECONDS, SearchStatus
from monitoring.telemetry.collector import MonitoringServer, TelemetryCollector
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import PREDICTION, stream
from slipway.settings import Settings, settings
from tests.conftest import NOWHERE
from tests.support.prediction_log.sample_events import prediction


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_where_none_is_configured_there_is_nothing_to_show(var) -> None:
    found = SearchStatus(settings()).look()
    assert (found.servers, found.problems) == ([], [])


def test_one_that_does_not_respond_is_shown_with_what_follows_from_it(var, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", NOWHERE.replace("http://", "http://ann:hush-hush@"))
    settings.cache_clear()
    found = SearchStatus(settings()).look()
    assert found.servers == [MonitoringServer("elasticsearch", NOWHERE, False)]
    [problem] = found.problems
    assert "cannot be reached" in problem and "wait in the spool" in problem
    assert "hush-hush" not in problem


def test_what_a_stream_needs_is_on_the_page_once_a_minute_at_most(elk: Settings) -> None:
    client, name, clock = connect(elk), stream(PREDICTION, elk), Clock()
    apply(client, elk, plan(client, elk), lambda _: None)
    search = SearchStatus(elk, clock)
    assert search.look().problems == []  # no stream has had anything yet
    client.index(index=name, document=prediction_document(), op_type="create", refresh=True)
    client.indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": True})
    assert search.look().problems == []
    clock.now += SECONDS
    [problem] = search.look().problems
    assert problem.startswith(f"{name}: Elasticsearch made it read-only because a disk is almost full")


def test_the_page_names_the_server_and_the_problems_of_all_use_cases(elk: Settings) -> None:
    collector = TelemetryCollector(elk, lambda: [], others=SearchStatus(elk).look)
    collector.once()
    board = dashboard.gather(elk, [], telemetry=collector.latest)
    [part] = [part for part in board.parts if part.name == "elasticsearch"]
    assert (part.ok, part.url) == (True, elk.elasticsearch_url)
    assert "search" in part.purpose


def prediction_document() -> dict:
    return json.loads(prediction("a"))
