"""`/openapi.json`, made from the schemas of what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway import __version__
from slipway.instances import EncodedImage
from slipway.schema import Feature, Schema

Json = dict[str, Any]

_PROBLEM: Json = {
    "type": "object",
    "required": ["title", "status", "detail", "trace_id"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What came, what is allowed and what to do."},
        "place": {"type": "string", "examples": ["instances[3].age"]},
        "trace_id": {"type": "string"},
    },
}
_CREDENTIALS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a JSON Web Token"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_KINDS: dict[str, list[str]] = {
    "number": ["number"],
    "integer": ["integer"],
    "category": ["string"],
    "boolean": ["boolean"],
}
_WARNING: Json = {
    "type": "object",
    "required": ["instance", "feature", "reason"],
    "properties": {
        "instance": {"type": "integer"},
        "feature": {"type": "string"},
        "reason": {"enum": ["missing", "unknown_category", "out_of_range"]},
    },
}
_UNIT: Json = {
    "name": "X-Slipway-Unit",
    "in": "header",
    "schema": {"type": "string"},
    "description": "What should not go back and forth between two models, as a user's id: the canary's share is by it.",
}
_ERRORS = {
    "400": "Not JSON, or no multipart form",
    "401": "No credential, or none that is valid",
    "403": "The credential lacks a scope, which is named",
    "413": "Too large, or too many instances",
    "415": "A content type or encoding that is not taken",
    "422": "A value, a name or a place is wrong; `place` says where",
    "429": "More requests than the credential's rate; `Retry-After` says when to come again",
    "503": "No model yet, or the log cannot be written",
}


def document(schemas: Mapping[str, Schema], examples: Mapping[str, list[Json]], most: int) -> Json:
    """The OpenAPI 3.1 document; `examples` are instances by use case, `most` the limit of instances in a request."""
    paths: Json = {"/v1/models": {"get": _get("List the use cases that are served", {"type": "object"})}}
    components: Json = {"Problem": _PROBLEM, "Warning": _WARNING}
    for name, schema in schemas.items():
        components[f"{name}.Instance"] = _instance(schema, examples.get(name, []))
        components[f"{name}.Answer"] = _answer(schema)
        routes = _routes(name, schema, most)
        paths |= {f"/v1/models/{name}{end}": route for end, route in routes.items()}
        if len(schemas) == 1:
            paths |= {f"/v1{end or '/model'}": route for end, route in routes.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Slipway", "version": __version__, "description": "Models as a service, and their feedback."},
        "security": [{}, *({name: []} for name in _CREDENTIALS)],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _CREDENTIALS},
    }


def _routes(name: str, schema: Schema, most: int) -> Json:
    instances = {"type": "array", "minItems": 1, "maxItems": most}
    body: Json = {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": instances | {"items": _ref(f"{name}.Instance")},
            "keys": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "Your own, one an instance",
            },
        },
    }
    content: Json = {"application/json": {"schema": body}}
    if [f.kind for f in schema.features if not f.nullable] == ["image"]:
        part = {"type": "array", "items": {"type": "string", "format": "binary"}}
        form = {"type": "object", "required": ["image"], "properties": {"image": part}}
        content["multipart/form-data"] = {"schema": form}
    accepted = {"type": "object", "properties": {"ids": {"type": "array", "items": {"type": "string"}}}}
    feedback = {"application/json": {"schema": _feedback(schema, most)}}
    predict = _post(f"Predict {schema.target}", content, _ref(f"{name}.Answer"))
    return {
        "/predict": {"post": predict | {"parameters": [_UNIT]}},
        "/feedback": {"post": _post(f"Tell what {schema.target} really was", feedback, accepted)},
        "": {"get": _get("What serves, and how each worker is", {"type": "object"})},
        "/schema": {"get": _get("The features, their kinds, units and vocabularies", {"type": "object"})},
    }


def _instance(schema: Schema, examples: list[Json]) -> Json:
    properties: Json = {feature.name: _feature(feature) for feature in schema.features}
    properties |= {name: {"description": "retired: accepted and ignored"} for name in schema.retired}
    return {
        "type": "object",
        "required": [feature.name for feature in schema.features if not feature.nullable],
        "additionalProperties": False,
        "properties": properties,
        "examples": examples[:1],
    }


def _feature(feature: Feature) -> Json:
    described: Json = {"description": _description(feature)} if _description(feature) else {}
    if feature.kind == "image":
        fields = {field: {"type": "string", "contentEncoding": "base64"} for field in EncodedImage.__struct_fields__}
        return described | {
            "type": "object",
            "required": list(fields),
            "additionalProperties": False,
            "properties": fields,
        }
    kinds = ["number", "string"] if feature.bins else list(_KINDS[feature.kind])
    if feature.private == "token" and "string" not in kinds:
        kinds.append("string")
    if feature.nullable:
        kinds.append("null")
    described["type"] = kinds if len(kinds) > 1 else kinds[0]
    if feature.bins:
        return {"anyOf": [{"type": "number"}, {"enum": list(feature.vocabulary or ())}], **described}
    return described


def _description(feature: Feature) -> str:
    parts = [feature.description, feature.unit]
    if feature.range:
        parts.append(f"usually {feature.range[0]:g} to {feature.range[1]:g}")
    if feature.vocabulary:
        parts.append(f"known: {', '.join(feature.vocabulary)}")
    return "; ".join(part for part in parts if part)


def _answer(schema: Schema) -> Json:
    row: Json = {"id": {"type": "string", "description": "what feedback names"}}
    if schema.task == "regression":
        row["value"] = {"type": "number", "description": schema.unit}
    else:
        meaning = f"P({schema.positive})" if schema.positive else "the largest probability"
        row["label"] = {"type": "string", "enum": list(schema.classes)}
        row["score"] = {"type": "number", "description": meaning}
        row["probabilities"] = {"type": "object", "additionalProperties": {"type": "number"}}
    model = {"type": "object", "properties": {"name": {"type": "string"}, "version": {"type": "string"}}}
    properties = {
        "model": model,
        "request_id": {"type": "string"},
        "predictions": {"type": "array", "items": {"type": "object", "required": list(row), "properties": row}},
        "warnings": {"type": "array", "items": _ref("Warning")},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _feedback(schema: Schema, most: int) -> Json:
    truth: Json = {"label": {"type": "string", "enum": list(schema.classes)}}
    if schema.task == "regression":
        truth = {"value": {"type": "number"}}
    known: Json = {"known_at": {"type": "string", "format": "date-time"}}
    entries = [
        {
            "type": "object",
            "required": [of, *truth],
            "additionalProperties": False,
            "properties": {of: {"type": "string"}, **truth, **known},
        }
        for of in ("id", "key")
    ]
    items = {"type": "array", "minItems": 1, "maxItems": most, "items": {"oneOf": entries}}
    return {
        "type": "object",
        "required": ["feedback"],
        "additionalProperties": False,
        "properties": {"feedback": items},
    }


def _post(summary: str, content: Json, answer: Json) -> Json:
    return {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": _responses(answer)}


def _get(summary: str, answer: Json) -> Json:
    return {"summary": summary, "responses": _responses(answer, ("401", "403", "429", "503"))}


def _responses(answer: Json, codes: tuple[str, ...] = tuple(_ERRORS)) -> Json:
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    good = {"200": {"description": "The answer", "content": {"application/json": {"schema": answer}}}}
    return good | {code: {"description": _ERRORS[code], "content": problem} for code in codes}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
