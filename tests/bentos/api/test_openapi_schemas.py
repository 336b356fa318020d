"""The schemas of the OpenAPI document take what the server takes, and refuse what it refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest
from jsonschema import Draft202012Validator

from bentos.api import openapi
from slipway.contracts.schema import Feature, Schema
from slipway.errors import InputError
from slipway.inference.instance_parser import InstanceParser
from tests.support import bundles

MANY = msgspec.structs.replace(
    bundles.PRIVATE,
    features=(
        *(feature for feature in bundles.PRIVATE.features if feature.name != "income"),
        msgspec.structs.replace(bundles.PRIVATE.by_name["income"], nullable=True),
        Feature("number", "integer", private="token", nullable=True),
        Feature("photo", "image", nullable=True, description="of the house"),
    ),
)
ROW = {"age": 30, "job": "nurse"}


def document(schema: Schema) -> dict:
    parser = InstanceParser(schema)
    live = SimpleNamespace(usecase=schema.usecase, schema=schema, reader=parser, examples=[ROW], serving={})
    return openapi.document({schema.usecase: live}, 3, credentials=False)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(document(MANY) | {"$ref": f"#/components/schemas/{MANY.usecase}.{name}"})


def is_accepted(body: dict) -> bool:
    try:
        InstanceParser(MANY).request(json.dumps(body).encode(), 3)
    except InputError:
        return False
    return True


@pytest.mark.parametrize(
    "change",
    [
        *({"age": value} for value in (1, 1.5, -1e38, 1e39, "30", True, None)),
        *({"visits": value} for value in (1, 2.0, 2.5, 2**63 - 1, 2**63, "1", None)),
        *({"job": value} for value in ("nurse", "unknown", 1, None)),
        *({"member": value} for value in (True, 1, None)),
        *({"income": value} for value in (1, 999.5, 1e39, "< 1000", "cheap", None, True)),
        *({"email": value} for value in ("a@b.example", "tok_" + "0" * 32, 1, None)),
        *({"number": value} for value in (1, 1.5, "tok_" + "0" * 32, None, True)),
        *({"photo": value} for value in ({"b64": "AAAA"}, {"b64": 1}, {}, {"b64": "AAAA", "url": ""}, "AAAA", None)),
        *({"fax": value} for value in (1, {"any": ["thing"]}, None)),
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_instance_is_valid_where_the_parser_accepts_it(change):
    assert validator("Instance").is_valid(ROW | change) == is_accepted({"instances": [ROW | change]})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instances": []},
        {"instances": [ROW]},
        {"instances": [ROW] * 4},
        {"instances": [{"age": 30}]},
        {"instances": [ROW], "keys": None},
        {"instances": [ROW], "keys": ["mine"]},
        {"instances": [ROW], "keys": [1]},
        {"instances": [ROW], "other": 1},
    ],
    ids=str,
)
def test_a_body_is_valid_where_the_parser_accepts_it(body):
    assert validator("PredictRequest").is_valid(body) == is_accepted(body)


def test_a_feature_is_described_by_its_unit_range_and_vocabulary():
    properties = document(MANY)["components"]["schemas"][f"{MANY.usecase}.Instance"]["properties"]
    assert properties["age"]["description"] == "years; usually 18 to 100"
    assert properties["job"]["description"] == "known: clerk, nurse, pilot"
    assert properties["photo"]["description"] == "of the house"


def test_a_model_without_a_version_yet_has_the_fields_that_are_always_there():
    described = document(MANY)["components"]["schemas"]["ModelMetadata"]
    assert described["required"] == [
        "name", "version", "environment", "schema_url", "pointer", "workers", "refused"
    ]  # fmt: skip


def test_what_is_encoded_with_its_defaults_has_every_field():
    parts = document(MANY)["components"]["schemas"]
    for name in ("BatchSize", "DesiredState", "Schema"):
        assert parts[name]["required"] == list(parts[name]["properties"])


def test_what_is_encoded_without_its_defaults_is_never_null():
    parts = document(MANY)["components"]["schemas"]
    assert parts["Problem"]["properties"]["place"]["type"] == "string"
    assert parts["RoleState"]["properties"]["reason"]["type"] == "string"
