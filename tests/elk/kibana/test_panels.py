"""What each panel asks, on a real Elasticsearch with data that has something to show: none is empty."""

from __future__ import annotations

from typing import Any

import pytest

from elk.kibana import fleet_logs, model
from elk.kibana.conditions import query
from elk.kibana.panels import Panel
from elk.kibana.searches import SEARCHES
from slipway.clients.elasticsearch.connection import connect
from slipway.ids import uuid7
from slipway.settings import Settings, settings
from tests.support.prediction_log import search_story
from tests.support.prediction_log.search_story import FAILING, ROWS, SOUND

PANELS = [each for each in (*model.dashboard().panels, *fleet_logs.dashboard().panels) if isinstance(each, Panel)]
# What only other data have: searches of candidates, which this story has none of
EMPTY = {"slipway-search-canaries"}


@pytest.fixture(scope="module")
def filled(elasticsearch: str) -> Settings:
    """Provide settings of an environment whose streams have the story."""
    environment = f"test-{uuid7()[-8:]}"
    config = settings().model_copy(update={"elasticsearch_url": elasticsearch, "environment": environment})
    search_story.index(search_story.tell(environment), config)
    return config


def asked(panel: Panel, config: Settings) -> dict[str, Any]:
    """Run the panel's search on the data view's streams of this environment."""
    here = {"term": {"service.environment": config.environment}}
    return connect(config).search(index=_index(panel.view.pattern, config), body=panel.search(here)).body


def _index(pattern: str, config: Settings) -> str:
    return f"{pattern.removesuffix('*')}{config.environment}"


def has_something(panel: Panel, aggregations: dict[str, Any]) -> bool:
    """Whether the innermost rows have a value of each metric."""
    for number in range(len(panel.by)):
        buckets = aggregations[f"bucket{number}"]["buckets"]
        filled = [bucket for bucket in buckets if bucket["doc_count"]]
        if not filled:
            return False
        aggregations = filled[0]
    return all(_value(aggregations.get(name)) is not None for name in panel.metric_ids())


def _value(found: dict[str, Any] | None) -> Any:
    if found is None:
        return None
    if "values" in found:
        return next(iter(found["values"].values()))
    found = found.get("value") if isinstance(found.get("value"), dict) else found
    return found.get("value", found.get("doc_count"))


def test_no_panel_is_empty(filled: Settings) -> None:
    empty = []
    for panel in PANELS:
        found = asked(panel, filled)
        if not found["hits"]["total"]["value"] or not has_something(panel, found["aggregations"]):
            empty.append(panel.title)
    assert empty == []


def test_panels_show_what_happened(filled: Settings) -> None:
    by_title = {panel.title: asked(panel, filled)["aggregations"] for panel in PANELS}
    assert by_title["Responses"]["metric0"]["doc_count"] == ROWS - ROWS // 6
    assert by_title["Failures"]["metric0"]["doc_count"] == ROWS // 6
    callers = {bucket["key"]: bucket["metric0"]["doc_count"] for bucket in by_title["Callers"]["bucket0"]["buckets"]}
    assert callers == {FAILING: ROWS // 6, SOUND: 0}
    assert [bucket["key"] for bucket in by_title["Callers"]["bucket0"]["buckets"]][0] == FAILING
    assert by_title["Errors"]["metric0"]["doc_count"] == ROWS // 30


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.id)
def test_a_saved_search_finds_documents(search: Any, filled: Settings) -> None:
    index = _index(search.view.pattern, filled)
    found = connect(filled).search(index=index, query=query(search.of), sort=[{"@timestamp": "desc"}], size=1)
    assert bool(found["hits"]["hits"]) == (search.id not in EMPTY)
