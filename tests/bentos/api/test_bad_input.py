"""Invalid requests get a 4xx as problem+json that names the place, and the next request is served."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from tests.support import bundles

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}


def body(*instances: object, **more: object) -> bytes:
    return json.dumps({"instances": list(instances)} | more).encode()


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def encoded(image: bytes) -> dict[str, dict[str, str]]:
    return {"image": {"b64": base64.b64encode(image).decode()}}


BAD_JSON = [
    pytest.param(b"", 400, None, id="nothing"),
    pytest.param(b"instances=1", 400, None, id="not JSON"),
    pytest.param(body(ROW)[:-3], 400, None, id="cut short"),
    pytest.param(b'{"instances":[{"age":"\xff"}]}', 422, "instances[0].age", id="not UTF-8"),
    pytest.param(b"[" * 10_000, None, None, id="nested 10,000 deep, open"),
    pytest.param(b"[" * 10_000 + b"]" * 10_000, None, None, id="nested 10,000 deep"),
    pytest.param(b'{"x":' * 10_000 + b"1" + b"}" * 10_000, 422, "x", id="10,000 objects deep"),
    pytest.param(
        b'{"instances":[{"age":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}",
        422,
        "instances[0].age",
        id="a value nested 10,000 deep",
    ),
    pytest.param(b'{"instances":[{"fax":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}", None, None, id="nested retired"),
    pytest.param(b"null", 422, None, id="null"),
    pytest.param(b"[]", 422, None, id="a list"),
    pytest.param(b"{}", 422, "instances", id="no instances"),
    pytest.param(body(), 422, "instances", id="an empty list"),
    pytest.param(b'{"instances":{}}', 422, "instances", id="instances that are no list"),
    pytest.param(body(ROW, 7), 422, "instances[1]", id="an instance that is a number"),
    pytest.param(body(None), 422, "instances[0]", id="an instance that is null"),
    pytest.param(body(ROW, instance=[]), 422, "instance", id="an unknown key"),
    pytest.param(body({**ROW, "aeg": 3}), 422, "instances[0].aeg", id="an unknown feature"),
    pytest.param(body(ROW, {"job": "nurse"}), 422, "instances[1].age", id="an absent feature"),
    pytest.param(body({**ROW, "age": None}), 422, "instances[0].age", id="a null that may not be"),
    pytest.param(body({**ROW, "age": "30"}), 422, "instances[0].age", id="a number as a string"),
    pytest.param(body({**ROW, "age": True}), 422, "instances[0].age", id="a boolean as a number"),
    pytest.param(body({**ROW, "visits": 1.5}), 422, "instances[0].visits", id="half an integer"),
    pytest.param(body({**ROW, "job": 7}), 422, "instances[0].job", id="a number as a category"),
    pytest.param(body({**ROW, "member": "yes"}), 422, "instances[0].member", id="a string as a boolean"),
    pytest.param(body({**ROW, "age": {"b64": ""}}), 422, "instances[0].age", id="an image as a number"),
    pytest.param(b'{"instances":[{"age":NaN,"job":"nurse"}]}', 400, None, id="NaN"),
    pytest.param(b'{"instances":[{"age":Infinity,"job":"nurse"}]}', 400, None, id="Infinity"),
    pytest.param(b'{"instances":[{"age":1e999,"job":"nurse"}]}', 422, "instances[0].age", id="1e999"),
    pytest.param(body({**ROW, "age": 1e308}), 422, "instances[0].age", id="1e308"),
    pytest.param(body({**ROW, "visits": 10**400}), 422, "instances[0].visits", id="a huge integer"),
    pytest.param(body({**ROW, "visits": 10**300}), 422, "instances[0].visits", id="a large integer"),
    pytest.param(body(list(ROW.values())[:2]), 422, "instances[0]", id="an array that is too short"),
    pytest.param(body([*ROW.values(), 1]), 422, "instances", id="an array that is too long"),
    pytest.param(body(["30", 3, "nurse", True]), 422, "instances[0].age", id="a string in an array"),
    pytest.param(body(ROW, keys=[]), 422, "keys", id="too few keys"),
    pytest.param(body(ROW, keys=[7]), 422, "keys[0]", id="a key that is a number"),
    pytest.param(body(ROW, keys=["k" * 1025]), 422, "keys[0]", id="a key that is too long"),
    pytest.param(body({**ROW, "job": "x" * 1025}), 422, "instances[0].job", id="a category that is too long"),
    pytest.param(body([30, 3, "x" * 1025, True]), 422, "instances[0].job", id="a category too long, in an array"),
    pytest.param(body(*[ROW] * 10_001), 413, "instances", id="10,001 instances"),
]


@pytest.mark.parametrize(("content", "status", "place"), BAD_JSON)
def test_json_that_cannot_be_answered_is_refused_with_its_place(start_client, content, status, place):
    client = start_client()
    answer = client.post("/v1/models/loans/predict", content)
    assert answer.status == status if status else 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == answer.status
    assert len(problem["trace_id"]) == 32
    assert len(problem["detail"]) < 1000
    assert problem.get("place") == place
    assert client.events() == []
    assert client.predict(ROW).status == 200


def test_a_mistyped_feature_gets_a_suggestion(start_client):
    assert "Did you mean 'age'?" in start_client().predict({**ROW, "aeg": 3}).json["detail"]


def test_ten_thousand_instances_are_answered(start_client):
    client = start_client()
    assert len(client.predict(*[ROW] * 10_000).json["predictions"]) == 10_000
    assert len(client.events()) == 10_000


def test_a_use_case_may_allow_fewer_instances(start_client):
    client = start_client(serving={"max_instances": 2})
    assert client.predict(*[ROW] * 2).status == 200
    assert client.predict(*[ROW] * 3).status == 413


def test_duplicated_names_count_once(start_client):
    content = b'{"instances":[{"age":1,"age":30,"visits":3,"job":"nurse","member":true}]}'
    client = start_client()
    assert client.post("/v1/models/loans/predict", content).status == 200
    assert client.events()[0]["slipway"]["features"]["age"] == 30


@pytest.mark.parametrize(
    "kind",
    [
        "",
        " ",
        "text/plain",
        "text/plain; application/json",
        "text/json",
        "application/json-seq",
        "application/json, text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=B",
    ],
)
@pytest.mark.parametrize("route", ["predict", "feedback"])
def test_content_of_another_type_is_415(start_client, kind, route):
    """A page of another site can send the types of forms, or none, without asking first."""
    client = start_client()
    content = body(ROW) if route == "predict" else b'{"feedback":[{"key":"a","label":"bad"}]}'
    answer = client.post(f"/v1/models/loans/{route}", content, **{"content-type": kind})
    assert answer.status == 415
    assert "application/json" in answer.json["detail"]
    answer = client.request("POST", f"/v1/models/loans/{route}", content, {})
    assert answer.status == 415 and "no Content-Type received" in answer.json["detail"]
    assert client.events() == client.events(stream="feedback") == []


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-8",
        "Application/JSON",
        'application/json;charset="UTF-8"',
        "application/json;charset=utf-8;odata=verbose",
        "application/json ;odata=verbose; charset=UTF-8",
        "application/json; charset=us-ascii",
        "application/json;",
    ],
)
def test_json_may_name_its_charset(start_client, kind):
    client, named = start_client(), {"content-type": kind, "content-encoding": "Identity"}
    assert client.post("/v1/models/loans/predict", body(ROW), **named).status == 200
    assert client.post("/v1/models/loans/feedback", b'{"feedback":[{"key":"a","label":"bad"}]}', **named).status == 200


def test_a_compressed_body_is_415(start_client):
    answer = start_client().post("/v1/models/loans/predict", body(ROW), **{"content-encoding": "gzip"})
    assert answer.status == 415


def test_a_body_that_is_too_large_is_413_before_it_is_read(start_client, monkeypatch):
    monkeypatch.setenv("SLIPWAY_MAX_BODY_BYTES", "2000")
    client = start_client()
    assert client.predict(*[ROW] * 100).status == 413
    assert client.post("/v1/models/loans/feedback", b" " * 3000).status == 413
    assert client.predict(ROW).status == 200


IMAGE = bundles.png()
BAD_IMAGES = [
    pytest.param(b"", 422, id="empty"),
    pytest.param(b"GIF89a", 422, id="a GIF's head"),
    pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, id="SVG"),
    pytest.param(IMAGE[: len(IMAGE) // 2], 422, id="truncated"),
    pytest.param(IMAGE[:-40], 422, id="without its last pixels"),
    pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 100, 422, id="a PNG's head alone"),
    pytest.param(b"%PDF-1.4", 422, id="PDF"),
    pytest.param(png(7000, 7000), 413, id="49 million pixels in 6 kB"),
]


@pytest.mark.parametrize(("image", "status"), BAD_IMAGES)
@pytest.mark.parametrize("form", ["json", "multipart"])
def test_an_image_that_cannot_be_read_is_refused_with_its_place(start_client, image, status, form):
    client = start_client(bundles.IMAGES)
    if form == "json":
        answer = client.predict(encoded(IMAGE), encoded(image), usecase="shapes")
    else:
        part = b'--B\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b\r\n'
        content = part % IMAGE + part % image + b"--B--\r\n"
        answer = client.post(
            "/v1/models/shapes/predict", content, **{"content-type": "multipart/form-data; boundary=B"}
        )
    assert answer.status == status
    assert answer.json["place"] == "instances[1].image"
    assert "0x" not in answer.json["detail"]
    assert client.events("shapes") == []


@pytest.mark.parametrize(
    "value", [None, "abc", {"b64": "not base64!"}, {"b64": 7}, {"url": "http://example.com/a.png"}, {}, [1, 2]]
)
def test_an_image_that_is_not_base64_is_refused(start_client, value):
    answer = start_client(bundles.IMAGES).predict({"image": value}, usecase="shapes")
    assert answer.status == 422
    assert answer.json["place"].startswith("instances[0].image")


PART = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
BAD_FORMS = [
    pytest.param(b"multipart/form-data", b"", 400, id="no boundary"),
    pytest.param(b"multipart/form-data; boundary=B", b"", 400, id="empty"),
    pytest.param(b"multipart/form-data; boundary=B", b"rubbish", 400, id="rubbish"),
    pytest.param(b"multipart/form-data; boundary=B", b"--B--\r\n", None, id="no part"),
    pytest.param(b"multipart/form-data; boundary=B", PART % (b"image", IMAGE), 400, id="no end"),
    pytest.param(b"multipart/form-data; boundary=B", PART % (b"file", IMAGE) + b"--B--\r\n", 422, id="another name"),
    pytest.param(
        b"multipart/form-data; boundary=B", PART % (b"image", b"") * 10_001 + b"--B--\r\n", 413, id="10,001 parts"
    ),
]


@pytest.mark.parametrize(("kind", "content", "status"), BAD_FORMS)
def test_a_form_that_cannot_be_read_is_refused(start_client, kind, content, status):
    answer = start_client(bundles.IMAGES).post("/v1/models/shapes/predict", content, **{"content-type": kind.decode()})
    assert answer.status == status if status else 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/models/loans/predict", "/v1/models/loans/feedback"])
def test_a_byte_order_mark_before_the_json_is_passed_over(start_client, path):
    """RFC 8259, section 8.1: a parser may ignore it; PowerShell and editors of Windows write it."""
    client = start_client()
    id = client.predict(ROW).json["predictions"][0]["id"]
    content = {"instances": [ROW]} if path.endswith("predict") else {"feedback": [{"id": id, "label": "good"}]}
    plain, marked = (client.post(path, mark + json.dumps(content).encode()) for mark in (b"", b"\xef\xbb\xbf"))
    assert (plain.status, marked.status) == (200, 200)
    assert plain.json.keys() == marked.json.keys()
    twice = client.post(path, b"\xef\xbb\xbf" * 2 + json.dumps(content).encode())
    assert (twice.status, "is not JSON" in twice.json["detail"]) == (400, True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("path", ["/v1/models/loans/predict", "/v1/models/loans/feedback"])
def test_json_in_utf_16_is_refused_with_the_encoding_to_send(start_client, path, encoding):
    answer = start_client().post(path, json.dumps({"instances": [ROW]}).encode(encoding))
    assert answer.status == 400
    assert answer.json["detail"].startswith("the body is in UTF-16 or UTF-32: JSON is sent in UTF-8.")
