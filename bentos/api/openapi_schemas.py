"""JSON Schemas of request and response bodies, derived from the schema of the model that serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bentos.api.feedback import ID
from slipway.contracts.schema import Feature, Schema
from slipway.inference.instance_parser import LARGEST_FLOAT, EncodedImage
from slipway.serving_state.desired import DesiredState
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import WorkerState

Json = dict[str, Any]

PROBLEM: Json = {
    "type": "object",
    "required": ["title", "status", "detail", "trace_id"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What came, what is allowed and what to do."},
        "place": {"type": "string", "examples": ["instances[3].age"]},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
}
WARNING: Json = {
    "type": "object",
    "required": ["instance", "feature", "reason"],
    "properties": {
        "instance": {"type": "integer"},
        "feature": {"type": "string"},
        "reason": {"enum": ["missing", "unknown_category", "out_of_range"]},
    },
}
_KINDS: dict[str, list[str]] = {
    "number": ["number"],
    "integer": ["integer"],
    "category": ["string"],
    "boolean": ["boolean"],
}
_LIMITS: dict[str, Json] = {
    "number": {"minimum": -LARGEST_FLOAT, "maximum": LARGEST_FLOAT},
    "integer": {"minimum": 1 - 2**63, "maximum": 2**63 - 1},
}
_TEXT: Json = {"type": "string"}
_NULLABLE_TEXT: Json = {"type": ["string", "null"]}
_NULL: Json = {"type": "null"}
_ANY_OBJECT: Json = {"type": "object"}


def ref(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def components() -> Json:
    """Return the schemas that the bodies of every use case refer to; those of msgspec structs are generated."""
    kinds = [Schema, DesiredState, WorkerState, Refusal]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {"Problem": PROBLEM, "Warning": WARNING, "Model": _model(), "Models": _models(), **found}


def instance(schema: Schema, examples: Sequence[Json]) -> Json:
    """Return the schema of one instance, with an example."""
    properties: Json = {feature.name: _feature(feature) for feature in schema.features}
    properties |= {name: {"description": "retired: accepted and ignored"} for name in schema.retired}
    return _object(
        properties,
        required=[feature.name for feature in schema.features if not feature.nullable],
        additionalProperties=False,
        examples=list(examples[:1]),
    )


def predict_request(name: str, max_instances: int) -> Json:
    """Return the schema of the body of a prediction request."""
    keys = {"type": ["array", "null"], "items": _TEXT, "description": "Your own, one an instance"}
    instances = {"type": "array", "minItems": 1, "maxItems": max_instances, "items": ref(f"{name}.Instance")}
    return _object({"instances": instances, "keys": keys}, required=["instances"], additionalProperties=False)


def image_form(max_instances: int) -> Json:
    """Return the schema of a multipart form of images."""
    part = {"type": "string", "format": "binary"}
    images = {"type": "array", "minItems": 1, "maxItems": max_instances, "items": part}
    return _object({"image": images}, additionalProperties=False)


def predict_response(schema: Schema) -> Json:
    """Return the schema of the response to a prediction request."""
    row: Json = {"id": {"type": "string", "description": "what feedback names"}}
    if schema.task == "regression":
        row["value"] = {"type": "number", "description": schema.unit}
    else:
        meaning = f"P({schema.positive})" if schema.positive else "the largest probability"
        row["label"] = {"type": "string", "enum": list(schema.classes)}
        row["score"] = {"type": "number", "description": meaning}
        row["probabilities"] = {"type": "object", "additionalProperties": {"type": "number"}}
    return _object(
        {
            "model": _object({"name": _TEXT, "version": _TEXT}),
            "request_id": _TEXT,
            "predictions": {"type": "array", "items": _object(row)},
            "warnings": {"type": "array", "items": ref("Warning")},
        }
    )


def feedback_request(schema: Schema, max_entries: int) -> Json:
    """Return the schema of a feedback request: a label or value for each `id` or `key`; null counts as absent."""
    if schema.task == "regression":
        truth, other = {"value": {"type": "number"}}, "label"
    else:
        truth, other = {"label": {"type": "string", "enum": list(schema.classes)}}, "value"
    known = {
        "type": ["string", "null"],
        "format": "date-time",
        "pattern": "^(19[7-9]|2[0-9]{2})",
        "description": "When it was known, from 1970 to 2999; null: now",
    }
    names = {"id": {"type": "string", "pattern": f"^{ID}$", "description": "as a prediction has it"}, "key": _TEXT}
    entries = [
        _object(
            {of: names[of], absent: _NULL, **truth, other: _NULL, "known_at": known},
            required=[of, *truth],
            additionalProperties=False,
        )
        for of, absent in (("id", "key"), ("key", "id"))
    ]
    items = {"type": "array", "minItems": 1, "maxItems": max_entries, "items": {"oneOf": entries}}
    return _object({"feedback": items}, additionalProperties=False)


def feedback_response() -> Json:
    """Return the schema of the response to a feedback request."""
    return _object({"request_id": _TEXT, "ids": {"type": "array", "items": _TEXT}})


def described_schema(name: str) -> Json:
    """Return the schema of the response of `GET …/schema`."""
    examples = {"type": "array", "items": ref(f"{name}.Instance")}
    return {"allOf": [ref("Schema"), _object({"examples": examples})]}


def _model() -> Json:
    always = {
        "name": _TEXT,
        "version": _NULLABLE_TEXT,
        "environment": _TEXT,
        "schema_url": _TEXT,
        "pointer": {"anyOf": [ref("DesiredState"), _object({"error": _TEXT}), _NULL]},
        "workers": {"type": "array", "items": ref("WorkerState")},
        "refused": {"type": "object", "additionalProperties": ref("Refusal")},
    }
    once_it_serves = {
        "digest": _TEXT,
        "role": _TEXT,
        "source": _TEXT,
        "device": _TEXT,
        "batching": _object(
            {
                "size": {"type": "integer"},
                "reason": _TEXT,
                "gain": {"type": ["number", "null"]},
                "wait_ms": {"type": "integer"},
            }
        ),
        "task": {"enum": ["binary", "multiclass", "regression"]},
        "synthetic": {"type": "boolean"},
        "metrics": _ANY_OBJECT,
        "gate": _object({"passed": {"type": "boolean"}, "gates": {"type": "array"}, "override": _NULLABLE_TEXT}),
        "facts": _ANY_OBJECT,
        "serving": _ANY_OBJECT,
    }
    waiting = {"waits_for": {"type": ["string", "null"], "description": "what there is instead of a model yet"}}
    return _object(always | once_it_serves | waiting, required=list(always))


def _models() -> Json:
    model = _object({"name": _TEXT, "version": _NULLABLE_TEXT, "ready": {"type": "boolean"}, "url": _TEXT})
    return _object({"models": {"type": "array", "items": model}})


def _object(properties: Json, *, required: list[str] | None = None, **more: Any) -> Json:
    """Return the schema of an object; all properties are required unless `required` names some."""
    return {
        "type": "object",
        "required": list(properties) if required is None else required,
        "properties": properties,
        **more,
    }


def _feature(feature: Feature) -> Json:
    described: Json = {"description": _description(feature)} if _description(feature) else {}
    if feature.kind == "image":
        fields = {field: {"type": "string", "contentEncoding": "base64"} for field in EncodedImage.__struct_fields__}
        return described | _object(fields, additionalProperties=False)
    kinds = ["number", "string"] if feature.bins else list(_KINDS[feature.kind])
    if feature.private == "token" and "string" not in kinds:
        kinds.append("string")
    if feature.nullable:
        kinds.append("null")
    described["type"] = kinds if len(kinds) > 1 else kinds[0]
    if feature.bins:
        return {"anyOf": [{"type": "number"}, {"enum": list(feature.vocabulary or ())}], **described}
    return described | _LIMITS.get(feature.kind, {})


def _description(feature: Feature) -> str:
    parts = [feature.description, feature.unit]
    if feature.range:
        parts.append(f"usually {feature.range[0]:g} to {feature.range[1]:g}")
    if feature.vocabulary:
        parts.append(f"known: {', '.join(feature.vocabulary)}")
    return "; ".join(part for part in parts if part)
