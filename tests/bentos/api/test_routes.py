"""Every route but the prediction: served models, feedback, probes, metrics, documents, and unknown paths."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from slipway.ids import uuid7
from tests.support import bundles

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}


def test_the_model_route_shows_what_serves_and_why(start_client):
    client = start_client()
    description = client.get("/v1/models/loans").json
    live = client.worker.served["loans"].live
    assert (description["name"], description["version"], description["role"], description["source"]) == (
        "loans",
        "1",
        "champion",
        "pointer",
    )
    assert description["digest"] == live.digest
    assert description["device"] == "cpu"
    assert description["synthetic"] is True
    assert description["gate"]["passed"] is True
    assert description["metrics"]["roc_auc"]["value"] == 0.8
    assert description["pointer"]["champion"] == live.digest
    assert [state["serving"] for state in description["workers"]] == [live.digest]
    assert client.get("/v1/model").json["name"] == "loans"


def test_a_use_case_without_a_model_states_what_it_waits_for(start_client):
    client = start_client(promote=False)
    description = client.get("/v1/models/loans").json
    assert description["version"] is None
    assert "slipway promote loans" in description["waits_for"]
    for answer in (client.predict(ROW), client.get("/readyz"), client.get("/v1/models/loans/schema")):
        assert answer.status == 503
        assert "slipway promote loans" in answer.json["detail"]
        assert "retry-after" in answer.headers
    assert client.get("/livez").status == 200


def test_one_of_two_models_is_not_ready(start_client, var, tmp_path):
    bundles.promote(var, tmp_path / "loans")
    client = start_client(bundles.TABULAR, bundles.REGRESSION, promote=False)
    assert client.predict(ROW).status == 200
    assert client.get("/readyz").status == 503
    assert [m["ready"] for m in client.get("/v1/models").json["models"]] == [True, False]


def test_the_schema_has_examples_that_can_be_sent(start_client):
    client = start_client(bundles.TABULAR, bundles.IMAGES)
    for usecase in ("loans", "shapes"):
        schema = client.get(f"/v1/models/{usecase}/schema").json
        assert [f["name"] for f in schema["features"]] == [
            f.name for f in client.worker.served[usecase].live.schema.features
        ]
        assert len(schema["examples"]) == 8
        assert client.predict(*schema["examples"], usecase=usecase).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/nope", 404, "/docs"),
        ("GET", "/v1", 404, "/docs"),
        ("GET", "/v1/", 404, "nothing at this path"),
        ("POST", "/v1/models/loanz/predict", 404, "Did you mean 'loans'?"),
        ("GET", "/v1/models/loanz", 404, "Served: loans"),
        ("GET", "/v1/models/loans/nope", 404, "nothing at this path"),
        ("GET", "/v1/models/loans/", 404, "nothing at this path"),
        ("POST", "/v1/models/loans/predict/", 404, "send it to /v1/models/loans/predict."),
        ("POST", "//v1/models//loans/predict", 404, "send it to /v1/models/loans/predict."),
        ("GET", "/v1/models/", 404, "send it to /v1/models."),
        ("GET", "/docs/", 404, "/docs"),
        ("GET", "/readyz/", 404, "send it to /readyz."),
        ("GET", "/v1/models/LOANS", 404, "Did you mean 'loans'?"),
        ("GET", "/v1/models/../loans", 404, "no use case"),
        ("POST", "/v1/models/loans/explain", 404, "explain is reserved"),
        ("POST", "/v1/explain", 404, "explain is reserved"),
        ("GET", "/v2", 404, "/v2 is reserved"),
        ("POST", "/v2/models/loans/infer", 404, "/v2 is reserved"),
        ("GET", "/v1/models/loans/predict", 405, "POST is"),
        ("DELETE", "/v1/models/loans", 405, "GET is"),
        ("POST", "/readyz", 405, "GET is"),
        ("PUT", "/v1/models/loans/feedback", 405, "POST is"),
        ("GET", "/page/../service.py", 404, "/docs"),
        ("GET", "/page/nope.js", 404, "/docs"),
        ("GET", "/docs/../../secret", 404, "/docs"),
    ],
)
def test_an_unknown_name_is_a_problem_that_lists_the_known_ones(start_client, method, path, status, says):
    answer = start_client().request(method, path, b"", {})
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json["detail"]
    assert len(answer.json["trace_id"]) == 32
    assert ("allow" in answer.headers) == (status == 405)


def test_unknown_paths_make_no_new_series(start_client):
    client = start_client()

    def series() -> int:
        return client.get("/metrics").body.count(b"\nslipway_requests_total{")

    client.get("/nope")
    client.get("/v1/models/nope")
    client.get("/metrics")
    before = series()
    for number in range(200):
        client.get(f"/nope/{number}")
        client.get(f"/v1/models/nope{number}/predict")
    assert series() == before


def test_metrics_have_the_names_that_dashboards_rely_on(start_client):
    client = start_client()
    client.predict(ROW, {**ROW, "job": "astronaut"})
    text = client.get("/metrics").body.decode()
    for series in (
        'slipway_requests_total{code="200",route="predict",usecase="loans"}',
        'slipway_request_duration_seconds_count{route="predict",usecase="loans"}',
        'slipway_model_seconds_count{role="champion",usecase="loans",version="1"}',
        'slipway_prediction_score_bucket{le="1.0",role="champion",usecase="loans",version="1"}',
        'slipway_model_info{device="cpu",role="champion",source="pointer",usecase="loans",version="1"} 1.0',
        'slipway_input_warnings_total{feature="job",reason="unknown_category",usecase="loans"}',
    ):
        assert f"\n{series}" in text
    assert re.search(
        r'slipway_predictions_total\{label="(good|bad)",role="champion",usecase="loans",version="1"\}', text
    )


def test_scores_are_counted_by_tenths_and_a_regression_has_none(start_client):
    client = start_client(bundles.TABULAR, bundles.REGRESSION)
    champion = {"version": "1", "role": "champion"}

    def counted() -> dict[float, float]:
        found = "slipway_prediction_score_bucket"
        bounds = [tenths / 10 for tenths in range(1, 11)]
        return {bound: client.metric(found, usecase="loans", le=str(bound), **champion) for bound in bounds}

    before = counted()
    scores = [row["score"] for row in client.predict(ROW, {**ROW, "age": 70}).json["predictions"]]
    rose = {bound: number - before[bound] for bound, number in counted().items()}
    assert rose == {bound: sum(score <= bound for score in scores) for bound in rose}
    example = client.get("/v1/models/prices/schema").json["examples"][0]
    assert client.predict(example, usecase="prices").status == 200
    prices = {"usecase": "prices", **champion}
    assert client.metric("slipway_model_seconds_count", **prices) > 0
    assert client.worker.metrics.registry.get_sample_value("slipway_prediction_score_count", prices) is None


def test_the_openapi_document_describes_what_is_served(start_client):
    client = start_client(bundles.TABULAR, bundles.IMAGES, bundles.REGRESSION)
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert {"/v1/models/loans/predict", "/v1/models/shapes/feedback", "/v1/models/prices/schema"} <= set(
        document["paths"]
    )
    instance = document["components"]["schemas"]["loans.Instance"]
    assert instance["required"] == ["age", "job"]
    assert instance["additionalProperties"] is False
    assert instance["properties"]["visits"]["type"] == ["integer", "null"]
    assert client.predict(*instance["examples"]).status == 200
    shapes = document["paths"]["/v1/models/shapes/predict"]["post"]["requestBody"]["content"]
    assert set(shapes) == {"application/json", "multipart/form-data"}
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))
    assert set(references) <= set(document["components"]["schemas"])


def test_the_documents_page_and_its_files_are_served_locally(start_client):
    client = start_client()
    page = client.get("/docs")
    found = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.body.decode())
    assert len(found) == 3
    assert "http" not in page.body.decode()
    for path in found:
        assert client.get(f"/{path}").status == 200
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_the_page_and_its_files_are_served_with_its_policy(start_client):
    client = start_client()
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "content-security-policy" in page.headers
    found = re.findall(r'(?:src|href)="([^".#][^"]*)"', page.body.decode())
    assert len(found) > 4
    for path in found:
        assert client.get(f"/{path}").status == 200


def test_head_is_answered_like_get(start_client):
    client = start_client()
    assert client.request("HEAD", "/readyz", b"", {}).status == 200


def _from_now(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


class TestFeedback:
    def send(self, client, *entries: object, usecase: str = "loans"):
        return client.post(f"/v1/models/{usecase}/feedback", {"feedback": list(entries)})

    def test_a_label_for_a_prediction_is_an_event_whose_id_is_answered(self, start_client):
        client = start_client()
        (row,) = client.predict(ROW).json["predictions"]
        answer = self.send(client, {"id": row["id"], "label": "bad", "known_at": "2026-01-31T12:00:00+02:00"})
        (event,) = client.events(stream="feedback")
        assert answer.status == 200
        assert answer.json["ids"] == [event["event"]["id"]]
        assert event["slipway"]["row_id"] == row["id"]
        assert event["slipway"]["label"] == "bad"
        assert event["slipway"]["known_at"] == "2026-01-31T10:00:00.000000Z"

    def test_a_key_of_the_caller_is_accepted_and_the_time_defaults_to_now(self, start_client):
        client = start_client()
        assert self.send(client, {"key": "mine", "label": "good"}).status == 200
        (event,) = client.events(stream="feedback")
        assert event["slipway"]["key"] == "mine"
        assert event["slipway"]["known_at"] == event["@timestamp"]

    def test_a_clock_that_is_minutes_ahead_means_now(self, start_client):
        client = start_client()
        assert self.send(client, {"key": "mine", "label": "good", "known_at": _from_now(minutes=4)}).status == 200
        (event,) = client.events(stream="feedback")
        assert event["slipway"]["known_at"] == event["@timestamp"]

    def test_a_regression_takes_a_value(self, start_client):
        client = start_client(bundles.REGRESSION)
        assert self.send(client, {"key": "k", "value": 120.5}, usecase="prices").status == 200
        assert client.events("prices", "feedback")[0]["slipway"]["value"] == 120.5

    @pytest.mark.parametrize(
        ("entry", "place"),
        [
            ({"label": "bad"}, "feedback[1]"),
            ({"id": f"{'0' * 8}-0000-7000-8000-{'0' * 12}-0", "key": "k", "label": "bad"}, "feedback[1]"),
            ({"id": "17", "label": "bad"}, "feedback[1].id"),
            ({"key": "k"}, "feedback[1]"),
            ({"key": "k", "value": 1}, "feedback[1]"),
            ({"key": "k", "label": "bda"}, "feedback[1].label"),
            ({"key": "k", "label": 1}, "feedback[1].label"),
            ({"key": "k", "label": "bad", "known_at": "yesterday"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": "2026-01-31T12:00:00"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": "0001-01-01T00:00:00+14:00"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": "2999-12-31T00:00:00Z"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": _from_now(hours=1)}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": _from_now(days=-3700)}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": "1970-01-01T00:00:00Z"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": "9999-12-31T23:59:59-14:00"}, "feedback[1].known_at"),
            ({"key": "k", "label": "bad", "known_at": 32503680000}, "feedback[1].known_at"),
            ({"id": f"{'0' * 8}-0000-7000-8000-{'0' * 12}-0", "label": "bad"}, "feedback[1].id"),
            ({"id": f"{'f' * 8}-ffff-7fff-8fff-{'f' * 12}-0", "label": "bad"}, "feedback[1].id"),
            ({"id": f"{uuid4()}-0", "label": "bad"}, "feedback[1].id"),
            ({"id": f"{uuid7()}", "label": "bad"}, "feedback[1].id"),
            ({"id": f"{uuid7()}-0\n", "label": "bad"}, "feedback[1].id"),
            ({"key": "k" * 1025, "label": "bad"}, "feedback[1].key"),
            ({"key": "k", "label": "b" * 1025}, "feedback[1].label"),
            ({"key": "k", "label": "bad", "when": 1}, "feedback[1]"),
            (7, "feedback[1]"),
        ],
    )
    def test_a_wrong_entry_is_refused_with_its_place_and_none_is_kept(self, start_client, entry, place):
        client = start_client()
        answer = self.send(client, {"key": "k", "label": "bad"}, entry)
        assert answer.status == 422
        assert answer.json["place"] == place
        assert client.events(stream="feedback") == []

    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"", 400), (b"{", 400), (b"[" * 10_000, None), (b"{}", 422), (b'{"feedback":[]}', 422), (b"null", 422)],
    )
    def test_a_body_that_is_no_feedback_is_refused(self, start_client, body, status):
        answer = start_client().post("/v1/models/loans/feedback", body)
        assert answer.status == status if status else 400 <= answer.status < 500
        assert answer.headers["content-type"] == "application/problem+json"

    def test_feedback_that_cannot_be_kept_is_not_accepted(self, start_client):
        client = start_client()
        client.worker.served["loans"].feedback.write = lambda lines: False
        assert self.send(client, {"key": "k", "label": "bad"}).status == 503
