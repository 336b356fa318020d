"""How long a stream keeps events that several use cases share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitoring.elk.expiry import expire
from monitoring.elk.retention import declared, rollover_days, shorter, stream_days
from monitoring.retention.housekeeping import Housekeeper
from slipway.clients.elasticsearch.streams import AUDIT, FEEDBACK, PREDICTION, SERVICE
from slipway.settings import settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by_usecase", "days"),
    [
        ({}, None),
        ({"loans": None}, None),
        ({"loans": 90}, 90),
        ({"loans": 90, "cars": 30}, 90),
        ({"a": 9, "b": None}, None),
    ],
)
def test_a_stream_keeps_what_the_most_patient_use_case_asks_for(by_usecase, days):
    found = stream_days(settings(), by_usecase)
    assert (found[PREDICTION], found[FEEDBACK], found[AUDIT]) == (days, days, None)


def test_service_logs_go_with_results(monkeypatch):
    assert stream_days(settings(), {})[SERVICE] == settings().keep_results_days
    monkeypatch.setenv("SLIPWAY_KEEP_RESULTS_DAYS", "0")
    settings.cache_clear()
    assert stream_days(settings(), {})[SERVICE] is None


@pytest.mark.parametrize(("days", "age"), [(None, 30), (1, 1), (29, 1), (90, 3), (365, 12), (3650, 30)])
def test_events_outlive_the_retention_by_a_thirtieth_at_most(days, age):
    assert rollover_days(days) == age


def test_use_cases_whose_events_go_earlier_than_the_stream():
    assert shorter({"loans": 90, "cars": 30, "boats": None}, None) == {"loans": 90, "cars": 30}
    assert shorter({"loans": 90, "cars": 30}, 90) == {"cars": 30}


def test_declared_days_are_those_of_the_use_cases(declare):
    declare(loans=90, cars=None)
    assert declared() == {"cars": None, "loans": 90}


def test_expired_events_of_one_use_case_alone_are_deleted(client, double):
    assert expire(client, settings(), {"loans": 90, "cars": 30}, NOW) == {"cars": datetime(2026, 1, 30, tzinfo=UTC)}
    (path,) = double.writes
    assert path == "POST /logs-slipway.prediction-staging,logs-slipway.feedback-staging/_delete_by_query"
    (body,) = double.stored.values()
    assert body["query"]["bool"]["filter"] == [
        {"term": {"slipway.usecase": "cars"}},
        {"range": {"@timestamp": {"lt": "2026-01-30T00:00:00.000Z"}}},
    ]


def test_the_watch_deletes_expired_events_in_each_pass(double, declare):
    declare(loans=90, cars=30)
    Housekeeper(settings()).pass_once(NOW)
    assert [path for path in double.writes if path.endswith("_delete_by_query")]


def test_an_elasticsearch_that_is_down_costs_one_step_of_a_pass(declare, monkeypatch, caplog):
    declare(loans=90, cars=30)
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    Housekeeper(settings()).pass_once(NOW)
    assert caplog.text.count("a step of the housekeeping failed") == 1
