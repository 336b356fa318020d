"""The templates on a real Elasticsearch: typed fields, mappings that no caller grows, and the status of streams."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from elasticsearch.helpers import bulk

from monitoring.elk.definitions import PRIORITY
from monitoring.elk.expiry import expired
from monitoring.elk.setup import apply, plan
from monitoring.elk.status import status
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import PREDICTION, stream
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.errors import ServiceError
from slipway.settings import Settings
from slipway.timestamps import iso
from tests.support.prediction_log.sample_events import START, prediction

NAMES, AT_ONCE = 10_000, 20
pytestmark = pytest.mark.timeout(240)  # the first test waits for the server


@pytest.fixture(scope="module")
def client(elasticsearch):
    return connect(Settings(ELASTICSEARCH_URL=elasticsearch))


@pytest.fixture(scope="module")
def predictions(client, elasticsearch):
    """Return the name of a stream of predictions, with its templates and one event, for tests that read its mapping."""
    return set_up(client, Settings(ELASTICSEARCH_URL=elasticsearch, environment=f"test-{uuid.uuid4().hex[:8]}"))


def set_up(client, config):
    apply(client, config, plan(client, config), lambda line: None)
    name = stream(PREDICTION, config)
    client.index(index=name, document=document(0), op_type="create", refresh=True)
    return name


def document(number, **slipway):
    found = json.loads(prediction(str(number)))
    return {**found, "slipway": {**found["slipway"], **slipway}}


def features(first):
    return {f"feature_{n}": f"value {n}" for n in range(first, first + AT_ONCE)}


def mappings(client, name):
    return [index["mappings"] for index in client.indices.get_mapping(index=name).values()]


def test_what_this_server_lacks_is_left_out_and_named(client, elk):
    planned = plan(client, elk)
    assert [lack.feature for lack in planned.server.lacks][:3] == [
        "index lifecycle policies",
        "security",
        "ingest processors",
    ]
    apply(client, elk, planned, lambda line: None)
    assert plan(client, elk).is_done


def test_a_stream_is_made_by_the_first_event_with_typed_fields(client, predictions):
    (found,) = mappings(client, predictions)
    slipway = found["properties"]["slipway"]["properties"]
    assert {name: slipway[name]["type"] for name in ("score", "features", "label", "model_version")} == {
        "score": "double",
        "features": "flattened",
        "label": "keyword",
        "model_version": "keyword",
    }


def test_new_names_and_values_of_callers_do_not_grow_the_mapping(client, predictions):
    before = json.dumps(mappings(client, predictions), sort_keys=True)
    sent = [
        {
            "_op_type": "create",
            "_index": predictions,
            "_source": {**document(first, features=features(first)), f"field_{first}": first, "in": {f"n{first}": 1}},
        }
        for first in range(0, NAMES, AT_ONCE)
    ]
    assert bulk(client, sent, refresh=True) == (NAMES // AT_ONCE, [])
    assert json.dumps(mappings(client, predictions), sort_keys=True) == before
    one = {"term": {"slipway.features.feature_7777": "value 7777"}}
    assert client.count(index=predictions, query=one)["count"] == 1


def test_texts_are_found_up_to_the_longest_that_callers_may_send_and_longer_ones_are_kept(client, predictions):
    widest = "\N{GRINNING FACE}"  # four bytes, and two of the units that `ignore_above` counts
    longest, too_long = {widest * 200: widest * MAX_TEXT}, {"essay": widest * 20_000}  # Lucene takes 32,766 bytes
    for number, features in enumerate([longest, too_long], start=1):
        client.index(index=predictions, document=document(number, features=features), op_type="create", refresh=True)
    ((name, text),) = longest.items()
    assert client.count(index=predictions, query={"term": {f"slipway.features.{name}": text}})["count"] == 1
    found = client.search(index=predictions, query={"term": {"slipway.row_id": document(2)["slipway"]["row_id"]}})
    assert found["hits"]["hits"][0]["_source"]["slipway"]["features"] == too_long
    assert client.count(index=predictions, query={"exists": {"field": "slipway.features.essay"}})["count"] == 0


def test_expired_are_the_events_of_one_use_case_from_before_the_time(client, predictions):
    first = START - timedelta(days=30)
    sent = [document(f"old-{n}", usecase=usecase) for n, usecase in enumerate(["loans", "loans", "loans-2", "cars"])]
    for each, days in zip(sent, (0, 1, 0, 0), strict=True):
        each["@timestamp"] = iso(first + timedelta(days=days))
    bulk(client, [{"_op_type": "create", "_index": predictions, "_source": each} for each in sent], refresh=True)
    found = client.search(index=predictions, query=expired("loans", first + timedelta(days=1)))["hits"]["hits"]
    assert [hit["_source"]["slipway"]["row_id"] for hit in found] == [sent[0]["slipway"]["row_id"]]


def test_a_wrong_type_is_refused_and_not_guessed(client, predictions):
    sent = [{"_op_type": "create", "_index": predictions, "_source": document(1, score="high")}]
    _, errors = bulk(client, sent, raise_on_error=False)
    assert errors[0]["create"]["error"]["type"] == "document_parsing_exception"


def test_other_templates_are_rolled_over_and_the_next_run_is_done(client, elk):
    name = stream(PREDICTION, elk)
    theirs = {"index_patterns": [name], "data_stream": {}, "priority": 1}
    client.indices.put_index_template(name=f"theirs-{elk.environment}", body=theirs)
    client.index(index=name, document={"@timestamp": "2026-01-01T00:00:00Z", "grown": 1}, op_type="create")
    planned = plan(client, elk)
    assert planned.rolled_over == [name]
    apply(client, elk, planned, lambda line: None)
    assert len(mappings(client, name)) == 2
    assert plan(client, elk).is_done


def test_a_winning_template_of_somebody_else_is_named(client, elk):
    body = {"index_patterns": [f"{stream(PREDICTION, elk)}*"], "data_stream": {}, "priority": PRIORITY + 1}
    theirs = f"theirs-{elk.environment}"
    client.indices.put_index_template(name=theirs, body=body)
    with pytest.raises(ServiceError, match=rf"{theirs}.*priority {PRIORITY + 1}.*wins over Slipway's"):
        plan(client, elk)


def test_an_index_of_the_streams_name_is_named(client, elk):
    name = stream(PREDICTION, elk)
    client.indices.create(index=name)
    with pytest.raises(ServiceError, match=rf"{name} is an index and no data stream: reindex it"):
        plan(client, elk)


def test_the_status_of_a_stream_and_of_a_disk_that_is_almost_full(client, elk, cli):
    predictions = set_up(client, elk)
    found = {each.stream: each for each in status(client, elk).streams}
    one = found[predictions]
    assert (one.documents, one.indices, one.refused, one.advice) == (1, 1, 0, [])
    assert one.bytes > 0
    assert one.oldest == one.newest
    (advice,) = found[f"logs-slipway.feedback-{elk.environment}"].advice
    assert advice.endswith("`slipway ship` brings the first event")
    lines = cli("elk", "status").out.splitlines()
    assert lines[0].startswith(f"{predictions}: 1 document, 0.0 MB in 1 index, {one.oldest} to {one.newest}")
    assert f"logs-slipway.audit-{elk.environment}: not there yet, 0 refused" in lines
    client.indices.put_settings(index=predictions, settings={"index.blocks.read_only_allow_delete": True})
    (one,) = [each for each in status(client, elk).streams if each.stream == predictions]
    assert "a disk is almost full" in one.advice[0]


def test_the_status_before_the_setup_says_what_to_run(client, elk):
    assert all("slipway elk setup" in each.advice[0] for each in status(client, elk).streams)
