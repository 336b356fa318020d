"""No response shows the value of a private feature, not even to its sender: errors end up in logs of others."""

from __future__ import annotations

import msgspec
import pytest

from slipway.contracts.schema import Feature
from tests.support import bundles

SECRET = "alice@example.org"
WHOLE = Feature("card", "integer", private="token", nullable=True)
SCHEMA = msgspec.structs.replace(bundles.PRIVATE, features=(*bundles.PRIVATE.features, WHOLE))
ROW = {**bundles.ROWS["loans"][0], "income": 2000, "email": "a", "nation": "b"}
WRONG = {
    "a bucket that is none": {"income": SECRET},
    "a bucket too long": {"income": SECRET * 100},
    "a list as a bucket": {"income": [SECRET]},
    "a list as a token": {"email": [SECRET]},
    "an object as a token": {"email": {SECRET: 1}},
    "a token too long": {"email": SECRET * 100},
    "a dropped value too long": {"nation": SECRET * 100},
    "an object as a dropped value": {"nation": {"b64": SECRET}},
    "half a private integer": {"card": 49291234.5},
    "a private integer too large": {"card": 4929123456789012000000},
    "another feature is wrong": {"email": SECRET, "age": "30"},
}


@pytest.mark.parametrize("wrong", [pytest.param(wrong, id=name) for name, wrong in WRONG.items()])
@pytest.mark.parametrize("form", ["object", "array"])
def test_a_refusal_shows_no_private_value(start_client, wrong, form):
    client = start_client(SCHEMA)
    row = {"card": 1, **ROW, **wrong}
    instance = [row[feature.name] for feature in SCHEMA.features] if form == "array" else row
    answer = client.predict(instance, usecase="private_loans")
    assert answer.status == 422
    assert answer.json["place"].startswith("instances[0].")
    assert SECRET[:8] not in answer.body.decode()
    # The id is random, and may have these four digits
    assert "4929" not in answer.body.decode().replace(answer.json["trace_id"], "")
