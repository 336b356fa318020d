"""What `slipway find` says of texts that can be no id, of unknown use cases, and of an Elasticsearch in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring.search.elasticsearch_source import ElasticsearchSource
from monitoring.search.parquet_source import ParquetSource
from monitoring.search.prediction import find_events, find_predictions
from monitoring.search.rendering import render
from monitoring.search.source_choice import ask
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.errors import DataError, NotFound, ServiceError
from slipway.ids import row_id, uuid7
from slipway.settings import Settings, settings
from tests.support.doubles.http_double import Answer, HttpDouble, Refused
from tests.support.prediction_log.log_fixtures import write_segment
from tests.support.prediction_log.sample_events import START, USECASE, prediction

SINCE = START - timedelta(days=1)
HOSTILE = ['"', "'", "*", "loan-*", "a OR b", "\\", "'; --", "%s", "{}", "\x1b[31m", "a\nb", "\x01", "𝔘" * MAX_TEXT]


@pytest.fixture
def config(var) -> Settings:
    return settings()


class TroubledElasticsearch(HttpDouble):
    """Elasticsearch that answers every search with one error response; `searched` are the parameters that it got."""

    headers = {"X-Elastic-Product": "Elasticsearch"}

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__()
        self.searched: list[dict[str, str]] = []
        self._status, self._error = status, error

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        self.searched.append(query)
        refused = Refused(self._status, "", "")
        refused.content = {"error": {"root_cause": [self._error], **self._error}, "status": self._status}
        raise refused


@pytest.fixture
def troubled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TroubledElasticsearch]:
    """Provide an Elasticsearch with the trouble of the parameter, which the settings name."""
    with TroubledElasticsearch(*request.param) as running:
        assert isinstance(running, TroubledElasticsearch)
        monkeypatch.setenv("ELASTICSEARCH_URL", running.uri)
        settings.cache_clear()
        yield running


SHARD = 503, {"type": "no_shard_available_action_exception", "reason": "no shard", "index": ".ds-logs-1"}
CLOSED = 400, {"type": "index_closed_exception", "reason": "closed", "index": ".ds-logs-1"}
MISSING = 404, {"type": "index_not_found_exception", "reason": "no such index [logs]", "index": "logs"}
ELSEWHERE = 404, {"type": "no_such_page", "reason": "nothing here"}


@pytest.mark.parametrize("troubled", [SHARD, CLOSED], ids=["shard", "closed"], indirect=True)
def test_a_part_of_a_stream_is_not_taken_for_the_whole(var, troubled: TroubledElasticsearch) -> None:
    write_segment(settings(), prediction("r1", key="loan-1"))
    found, name, notes = ask(lambda source: find_events(source, "loan-1", USECASE, SINCE), settings())
    assert ([event["id"] for event in found], name.startswith("the prediction log")) == (["r1"], True)
    assert ".ds-logs-1" in notes[0] and notes[0].endswith("The prediction log was read instead.")
    assert {query["allow_partial_search_results"] for query in troubled.searched} == {"false"}
    with pytest.raises(ServiceError, match=r"\.ds-logs-1"):
        ask(lambda source: find_events(source, "loan-1", USECASE, SINCE), settings(), "elasticsearch")


@pytest.mark.parametrize("troubled", [MISSING], ids=["missing"], indirect=True)
def test_a_stream_that_is_not_there_yet_has_nothing(var, troubled: TroubledElasticsearch) -> None:
    source = ElasticsearchSource(settings())
    with pytest.raises(NotFound, match="has no prediction in local"):
        find_predictions(source, "loan-1", settings(), SINCE)
    with pytest.raises(ServiceError, match=r"no data stream logs-slipway\.prediction-local: `slipway elk setup`"):
        source.totals(USECASE, (SINCE, START))


@pytest.mark.parametrize("troubled", [ELSEWHERE], ids=["elsewhere"], indirect=True)
def test_a_page_that_is_not_there_is_no_empty_stream(var, troubled: TroubledElasticsearch) -> None:
    with pytest.raises(ServiceError, match="404: nothing here"):
        find_events(ElasticsearchSource(settings()), "loan-1", USECASE, SINCE)


def test_texts_of_callers_are_found_as_they_are_and_stay_on_their_line(config: Settings) -> None:
    write_segment(config, *(prediction(f"r{number}", key=text) for number, text in enumerate(HOSTILE)))
    for number, text in enumerate(HOSTILE):
        found = find_predictions(ParquetSource(config), text, config, SINCE)
        assert [each.id for each in found.predictions] == [f"r{number}"], text
        assert all(line.isprintable() for line in render(found))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("x" * 1_000_000, "has 1,000,000 characters: .* at most 1,024", id="a megabyte"),
        pytest.param("\udcff", "is not valid UTF-8", id="no UTF-8"),
    ],
)
def test_a_text_that_can_be_no_id_is_not_looked_for(text: str, reason: str, config: Settings) -> None:
    with pytest.raises(DataError, match=reason):
        find_predictions(ParquetSource(config), text, config, SINCE)


def test_an_id_is_looked_for_at_its_own_time_and_a_key_of_its_form_at_any(config: Settings) -> None:
    request, key = uuid7(), uuid7()
    now, row = datetime.now(UTC), row_id(request, 0)
    trace = request.replace("-", "")  # as the service makes one for a request without
    write_segment(
        config,
        prediction(row, (now - START).total_seconds(), key="a").replace(b"t" * 32, trace.encode()),
        prediction("r2", (now - START).total_seconds(), key=row),  # of a model that is called with another's id
        prediction("r3", key=key),  # long before its key was made
    )
    source = ParquetSource(config)
    assert [event["id"] for event in find_events(source, row, USECASE, now + timedelta(days=1))] == [row]
    for text in (f"{row}:champion:1", trace):
        assert [event["id"] for event in find_events(source, text, USECASE, now + timedelta(days=1))] == [row]
    assert [event["id"] for event in find_events(source, key, USECASE, SINCE)] == ["r3"]


@pytest.mark.parametrize("options", [("--errors",), ("--at", "14:00")])
def test_a_use_case_without_predictions_is_named_with_those_that_have_some(
    options: tuple[str, ...], config: Settings, cli
) -> None:
    write_segment(config, prediction("r1"))
    ran = cli("find", *options, "--usecase", "made_down")
    assert ran.code == 1
    assert "no predictions of 'made_down'. Did you mean 'made_up'? It has those of: made_up." in ran.err
    assert cli("find", *options, "--usecase", USECASE).code == 0
    assert "is no name of a use case" in cli("find", *options, "--usecase", "../x").err
