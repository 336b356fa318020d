"""The answer to a prediction, and its events in the log."""

from __future__ import annotations

import base64
import json
import re

import msgspec
import numpy as np
import pytest

from slipway.contracts.schema import bucket, key_text, row_key
from slipway.inference import Predictor, decode_image, image_statistics, pixels_sha256
from tests.support import bundles

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}


def form(*images: bytes, name: str = "image") -> tuple[bytes, str]:
    """Build a multipart body and its content type."""
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return b"".join(
        head.encode() + image + b"\r\n" for image in images
    ) + b"--B--\r\n", "multipart/form-data; boundary=B"


def test_a_prediction_is_the_predictors_with_ids_and_the_models_name(start_client, tmp_path):
    client = start_client()
    answer = client.predict(ROW, {**ROW, "age": 60})
    expected = Predictor(tmp_path / "loans").predict([ROW, {**ROW, "age": 60}])
    content = answer.json
    assert answer.status == 200
    assert content["model"] == {"name": "loans", "version": "1"}
    assert content["warnings"] == []
    for index, (row, prediction) in enumerate(zip(content["predictions"], expected, strict=True)):
        assert row["id"] == f"{content['request_id']}-{index}"
        assert row["label"] == prediction.label
        assert row["score"] == pytest.approx(prediction.score, abs=1e-6)
        assert row["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-6)


def test_the_same_row_alone_and_in_a_hundred_is_answered_alike(start_client):
    client = start_client()
    (alone,) = client.predict(ROW).json["predictions"]
    among = client.predict(*[ROW] * 100).json["predictions"]
    assert {row["label"] for row in among} == {alone["label"]}
    assert np.allclose([row["score"] for row in among], alone["score"], atol=1e-6)


def test_arrays_are_taken_in_the_order_of_the_features(start_client):
    client = start_client()
    named, listed = client.predict(ROW), client.predict(list(ROW.values()))
    assert listed.json["predictions"][0]["score"] == named.json["predictions"][0]["score"]


def test_values_unlike_training_are_answered_with_a_warning(start_client):
    client = start_client()
    answer = client.predict(ROW, {"age": 130, "job": "astronaut"}).json
    assert len(answer["predictions"]) == 2
    assert {(w["instance"], w["feature"], w["reason"]) for w in answer["warnings"]} == {
        (1, "age", "out_of_range"),
        (1, "visits", "missing"),
        (1, "job", "unknown_category"),
        (1, "member", "missing"),
    }
    assert client.metric("slipway_input_warnings_total", usecase="loans", feature="job", reason="unknown_category") >= 1


def test_a_retired_feature_is_accepted_and_ignored(start_client):
    assert start_client().predict({**ROW, "fax": "0123"}).status == 200


def test_a_regression_answers_a_value_and_no_score(start_client):
    (row,) = start_client(bundles.REGRESSION).predict({"area": 80, "rooms": 3}, usecase="prices").json["predictions"]
    assert set(row) == {"id", "value"}


def test_a_single_use_case_has_short_paths_and_several_have_not(start_client):
    assert start_client().post("/v1/predict", {"instances": [ROW]}).status == 200
    several = start_client(bundles.TABULAR, bundles.REGRESSION, promote=False)
    assert several.post("/v1/predict", {"instances": [ROW]}).status == 404


def test_an_image_is_accepted_as_json_or_as_form_parts(start_client):
    client = start_client(bundles.IMAGES)
    images = [bundles.png(seed=seed) for seed in range(3)]
    encoded = [{"image": {"b64": base64.b64encode(image).decode()}} for image in images]
    as_json = client.predict(*encoded, usecase="shapes").json["predictions"]
    body, kind = form(*images)
    as_form = client.post("/v1/models/shapes/predict", body, **{"content-type": kind}).json["predictions"]
    assert [row["probabilities"] for row in as_form] == [row["probabilities"] for row in as_json]


def test_the_event_of_a_row_holds_all_that_monitoring_reads(start_client):
    client = start_client()
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "x-request-id": "order-17"}
    content = {"instances": [{**ROW, "job": "astronaut"}], "keys": ["mine"]}
    answer = client.post("/v1/models/loans/predict", content, **headers).json
    (event,) = client.events()
    (row,) = answer["predictions"]
    fields = event["slipway"]
    settings, live = client.worker.settings, client.worker.served["loans"].live
    text = key_text({**ROW, "job": "astronaut"}, live.schema)
    assert event["event"]["id"] == f"{row['id']}:champion:1"
    assert event["event"]["outcome"] == "success"
    assert event["event"]["duration"] > 0
    assert event["trace"]["id"] == "ab" * 16
    assert event["http"]["request"]["id"] == answer["request_id"] == "order-17"
    assert (fields["usecase"], fields["model_version"], fields["role"], fields["answered"]) == (
        "loans",
        "1",
        "champion",
        True,
    )
    assert fields["bundle_sha256"] == live.digest
    assert fields["features"] == {**ROW, "job": "astronaut"}
    assert (fields["label"], fields["score"]) == (row["label"], row["score"])
    assert fields["key"] == "mine"
    assert fields["row_key"] == row_key(settings.mask_secret(), text)
    assert fields["split_bucket"] == bucket(live.schema.split.salt, text)
    assert fields["warnings"] == [{"feature": "job", "reason": "unknown_category"}]


def test_ids_that_are_not_well_formed_are_replaced(start_client):
    client = start_client()
    headers = {"traceparent": f"00-{'0' * 32}-{'cd' * 8}-01", "x-request-id": "a\x00b" * 50}
    answer = client.post("/v1/models/loans/predict", {"instances": [ROW]}, **headers)
    (event,) = client.events()
    assert re.fullmatch(r"[0-9a-f]{32}", event["trace"]["id"])
    assert event["trace"]["id"] != "0" * 32
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.json["request_id"])
    assert answer.headers["x-request-id"] == answer.json["request_id"]


def test_private_values_are_masked_before_anything_else_reads_them(start_client):
    client = start_client(bundles.PRIVATE)
    answer = client.predict(
        {**ROW, "income": 1500, "email": "eve@example.com", "nation": "Utopia"}, usecase="private_loans"
    )
    assert answer.status == 200
    (event,) = client.events("private_loans")
    features = event["slipway"]["features"]
    assert features["income"] == "1000 – 3000"
    assert re.fullmatch(r"tok_[0-9a-f]{32}", features["email"])
    assert "nation" not in features
    assert b"eve@example" not in b"".join(path.read_bytes() for path in client.worker.settings.var.rglob("*.open"))


def test_a_row_that_is_masked_already_is_answered_alike(start_client):
    client = start_client(bundles.PRIVATE)
    raw = {**ROW, "income": 1500, "email": "eve@example.com", "nation": "Utopia"}
    first = client.predict(raw, usecase="private_loans").json["predictions"][0]
    features = client.events("private_loans")[0]["slipway"]["features"]
    second = client.predict(features, usecase="private_loans").json["predictions"][0]
    keys = {event["slipway"]["row_key"] for event in client.events("private_loans")}
    assert second["score"] == first["score"]
    assert len(keys) == 1


def test_an_images_event_holds_statistics_and_digest_and_no_pixel(start_client):
    client = start_client(bundles.IMAGES)
    body, kind = form(bundles.png())
    client.post("/v1/models/shapes/predict", body, **{"content-type": kind})
    (event,) = client.events("shapes")
    pixels = decode_image(bundles.png(), bundles.IMAGES.images[0])
    assert event["slipway"]["features"]["image"] == image_statistics(pixels) | {"sha256": pixels_sha256(pixels)}


@pytest.mark.parametrize("capture", [True, False])
def test_a_captured_image_waits_in_the_spool_under_its_digest(start_client, capture):
    client = start_client(bundles.IMAGES, serving={"capture": capture})
    body, kind = form(bundles.png(), bundles.png())
    client.post("/v1/models/shapes/predict", body, **{"content-type": kind})
    client.worker.stop()
    folder = client.worker.settings.spool / "shapes" / "images"
    pixels = decode_image(bundles.png(), bundles.IMAGES.images[0])
    kept = list(folder.iterdir()) if folder.exists() else []
    assert [path.name for path in kept] == ([pixels_sha256(pixels)] if capture else [])
    if capture:
        assert (decode_image(kept[0].read_bytes(), bundles.IMAGES.images[0]) == pixels).all()


def _break_the_log(client, usecase: str = "loans") -> None:
    client.worker.served[usecase].predictions.write = lambda lines: False


def test_a_log_that_fails_is_answered_and_counted(start_client):
    client = start_client()
    before = client.metric("slipway_prediction_log_lost_total", usecase="loans")
    _break_the_log(client)
    assert client.predict(ROW, ROW).status == 200
    assert client.metric("slipway_prediction_log_lost_total", usecase="loans") == before + 2


def test_where_the_log_is_required_nothing_is_answered_without_it(start_client):
    client = start_client(serving={"log": "required"})
    assert client.predict(ROW).status == 200
    _break_the_log(client)
    answer = client.predict(ROW)
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert "predictions" not in answer.json


@pytest.mark.parametrize("fault", ["raises", "NaN"])
def test_a_model_that_fails_is_a_500_without_details_and_an_event_that_is_not_answered(
    start_client, fault, monkeypatch
):
    client = start_client()

    def run(feeds):
        if fault == "raises":
            raise RuntimeError("secret path /opt/model")
        return np.full((1, 2), np.nan, np.float32)

    monkeypatch.setattr(client.worker.served["loans"].live.predictor, "run", run)
    before = client.metric("slipway_model_errors_total", usecase="loans", version="1", role="champion")
    answer = client.predict(ROW)
    (event,) = client.events()
    assert answer.status == 500
    assert "secret" not in answer.body.decode()
    assert event["event"]["outcome"] == "failure"
    assert event["error"]["type"] == "ModelError"
    assert event["slipway"]["answered"] is False
    assert "label" not in event["slipway"]
    assert client.metric("slipway_model_errors_total", usecase="loans", version="1", role="champion") == before + 1
    assert json.loads(answer.body)["trace_id"] == event["trace"]["id"]


def test_predictions_are_counted_by_version_and_label(start_client):
    client = start_client()
    name, labels = "slipway_predictions_total", {"usecase": "loans", "version": "1", "role": "champion"}
    before = sum(client.metric(name, label=label, **labels) for label in ("good", "bad"))
    client.predict(*[ROW] * 5)
    assert sum(client.metric(name, label=label, **labels) for label in ("good", "bad")) == before + 5


def test_large_requests_and_slow_models_leave_the_event_loop_free(start_client, tmp_path):
    client = start_client(slow=40)
    live = client.worker.served["loans"].live
    assert live.inline_bytes < 0
    assert client.predict(ROW).status == 200
    assert start_client(bundles.REGRESSION).worker.served["prices"].live.inline_bytes > 0


def test_integers_may_be_written_as_integral_floats(start_client):
    assert start_client().predict({**ROW, "visits": 3.0}).status == 200


def test_every_class_of_a_bundle_is_a_probability(start_client):
    schema = msgspec.structs.replace(bundles.IMAGES, classes=("a", "b", "c", "d"))
    client = start_client(schema)
    body, kind = form(bundles.png())
    (row,) = client.post("/v1/models/shapes/predict", body, **{"content-type": kind}).json["predictions"]
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert row["score"] == max(row["probabilities"].values())
