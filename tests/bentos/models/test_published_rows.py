"""A request that is marked as a test is one only with published rows: nobody hides predictions of its own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from bentos.models.published_rows import PublishedRows
from slipway.inference.instance_parser import EncodedImage, Request
from tests.bentos.server.bridge import Bridge
from tests.support import bundles

TEST = {"x_slipway_test": "true"}
SCHEMAS = [bundles.TABULAR, bundles.REGRESSION, bundles.IMAGES, bundles.PRIVATE]


def marks(client: Any, usecase: str) -> list[bool]:
    return [event["slipway"].get("test", False) for event in client.events(usecase)]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.usecase)
def test_the_examples_are_a_test_if_the_request_says_so(start_client: Callable, schema: Any) -> None:
    client = start_client(schema)
    path = f"/v1/models/{schema.usecase}"
    examples = client.get(f"{path}/schema").json["examples"]
    for headers in (TEST, {"x_slipway_test": "True"}, {}, {"x_slipway_test": "false"}, {"x_slipway_test": "1"}):
        assert client.post(f"{path}/predict", {"instances": examples[:1]}, **headers).status == 200
    assert marks(client, schema.usecase) == [True, True, False, False, False]
    assert client.post(f"{path}/predict", {"instances": examples}, **TEST).status == 200
    assert all(marks(client, schema.usecase)[5:])


@pytest.mark.parametrize(
    "instances",
    [
        [{**bundles.ROWS["loans"][0], "age": 20.5}],
        [bundles.ROWS["loans"][0], {**bundles.ROWS["loans"][0], "job": "pilot"}],
        [{**bundles.ROWS["loans"][0], "visits": None}],
        [{**bundles.ROWS["loans"][0], "job": "astronaut"}],
        [[20.0, 0, "clerk", False]],
    ],
    ids=["another value", "one row of two", "a missing value", "an unknown category", "an array"],
)
def test_rows_of_the_callers_own_count_whatever_the_request_says(start_client: Callable, instances: list) -> None:
    client = start_client()
    assert client.post("/v1/predict", {"instances": instances}, **TEST).status == 200
    assert marks(client, "loans") == [False] * len(instances)


def test_an_example_is_one_in_every_form_of_a_request(start_client: Callable) -> None:
    client = start_client(bundles.TABULAR, bundles.PRIVATE, bundles.IMAGES)
    row = bundles.ROWS["loans"][0]
    client.post("/v1/models/loans/predict", {"instances": [list(row.values())], "keys": ["a"]}, **TEST)
    client.post("/v1/models/loans/predict", {"instances": [{**row, "fax": "none", "age": 20}]}, **TEST)
    assert marks(client, "loans") == [True, True]
    named = bundles.ROWS["private_loans"][0]
    for email in ("somebody@example.com", None):  # what `curl` leaves out, or a person fills in
        client.post("/v1/models/private_loans/predict", {"instances": [{**named, "email": email}]}, **TEST)
    assert marks(client, "private_loans") == [True, True]
    [example, *_] = client.get("/v1/models/shapes/schema").json["examples"]
    image = base64.b64decode(example["image"]["b64"])
    form = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n%b\r\n--x--\r\n' % image
    client.post("/v1/models/shapes/predict", form, content_type="multipart/form-data; boundary=x", **TEST)
    assert marks(client, "shapes") == [True]


def test_a_failure_of_a_test_is_one_of_a_test(start_client: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start_client()
    monkeypatch.setattr(client.worker.served["loans"].live.predictor, "run", lambda feeds: 1 / 0)
    assert client.post("/v1/predict", {"instances": bundles.ROWS["loans"][:1]}, **TEST).status == 500
    [event] = client.events()
    assert (event["event"]["outcome"], event["slipway"]["test"]) == ("failure", True)


def test_a_candidate_goes_by_the_rows_that_the_champion_publishes() -> None:
    """It may have features that the champion lacks, and lack others."""
    published = PublishedRows(bundles.TABULAR, bundles.ROWS["loans"])
    names = ("age", "city", "job", "member")
    assert published.include(Request(names, [(20.0, None, "clerk", True)], None, None))
    assert not published.include(Request(names, [(20.0, "Bonn", "clerk", True)], None, None))


def test_an_image_is_its_bytes() -> None:
    published = PublishedRows(bundles.IMAGES, [{"image": EncodedImage(b"a")}])
    assert published.include(Request(("image",), [(EncodedImage(b"a"),)], None, None))
    assert not published.include(Request(("image",), [(EncodedImage(b"b"),)], None, None))


def test_smoke_is_a_test(cli: Callable, start_client: Callable, tmp_path: Any) -> None:
    client = start_client(*SCHEMAS)
    with Bridge(client) as bridge:
        for options in ([], ["--bundle", str(tmp_path / "loans")]):
            assert cli("smoke", bridge.url, *options).code == 0
    for schema in SCHEMAS:
        found = marks(client, schema.usecase)
        assert len(found) > 100 and all(found)
