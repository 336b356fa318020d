"""JSON Schemas of request and response bodies, generated from the structs that validate and encode them.

Small functions add what no type says: units, ranges and vocabularies, the classes, counts, examples, and forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bentos.api.feedback import FeedbackRequest, FeedbackResponse
from bentos.api.model_metadata import GateSummary, ModelList, ModelMetadata, ModelSummary, UnreadablePointer
from bentos.models.batch_size import BatchSize
from bentos.problem_details import Problem
from slipway.contracts.schema import Feature, Schema, Split, TableFormat
from slipway.inference import InputWarning, Prediction
from slipway.serving_state.desired import Canary, DesiredState
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import RoleState, WorkerState

if TYPE_CHECKING:
    from bentos.models import LoadedModel

Json = dict[str, Any]

_SENT: tuple[type[msgspec.Struct], ...] = (
    *(Problem, InputWarning, FeedbackResponse),
    *(ModelMetadata, ModelList, ModelSummary, GateSummary, BatchSize),
    *(DesiredState, Canary, UnreadablePointer, WorkerState, RoleState, Refusal),
    *(Schema, Feature, Split, TableFormat),
)
_INTEGER: Json = {"minimum": 1 - 2**63, "maximum": 2**63 - 1}
_TEXT: Json = {"type": "string"}
_NULL: Json = {"type": "null"}


def ref(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def shared() -> Json:
    """Return the schemas of the bodies that are the same for every use case."""
    found = _generate(_SENT)
    found |= {kind.__name__: _as_sent(kind, found[kind.__name__]) for kind in _SENT}
    pointer = {"anyOf": [ref("DesiredState"), ref("UnreadablePointer"), _NULL]}
    return found | {"ModelMetadata": _with_property(found["ModelMetadata"], "pointer", pointer)}


def of_usecase(live: LoadedModel, max_instances: int, max_entries: int) -> Json:
    """Return the schemas of the bodies of one use case, whose name is before theirs."""
    name, schema = live.usecase, live.schema
    found = _generate([live.reader.request_type, FeedbackRequest], f"{name}.")
    found |= {
        "PredictRequest": _with_count(found["PredictRequest"], "instances", max_instances),
        "Instance": _instance(found["Instance"], schema, live.examples),
        "Answer": _prediction_response(schema),
        "FeedbackRequest": _with_count(found["FeedbackRequest"], "feedback", max_entries),
        "FeedbackEntry": _feedback_entry(found["FeedbackEntry"], schema),
    }
    return {f"{name}.{part}": described for part, described in found.items()}


def image_form(max_instances: int) -> Json:
    """Return the schema of a multipart form of images."""
    part = {"type": "string", "format": "binary"}
    images = {"type": "array", "minItems": 1, "maxItems": max_instances, "items": part}
    return _object({"image": images}) | {"additionalProperties": False}


def described_schema(name: str) -> Json:
    """Return the schema of the response of `GET …/schema`."""
    examples = {"type": "array", "items": ref(f"{name}.Instance")}
    return {"allOf": [ref("Schema"), _object({"examples": examples})]}


def _generate(kinds: Sequence[type], prefix: str = "") -> dict[str, Json]:
    """Generate the schemas of structs, and of those that they hold, by name."""
    _, found = msgspec.json.schema_components(kinds, ref_template=f"#/components/schemas/{prefix}{{name}}")
    return {
        name: schema | {"properties": {of: _merge_types(each) for of, each in schema["properties"].items()}}
        for name, schema in found.items()
    }


def _merge_types(schema: Json) -> Json:
    """Merge alternatives that differ in their type into one schema with a list of types."""
    kinds = schema.get("anyOf", [])
    if not kinds or not all("type" in kind for kind in kinds):
        return schema
    merged = {key: value for kind in kinds for key, value in kind.items()}
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    return merged | others | {"type": [kind["type"] for kind in kinds]}


def _as_sent(kind: type[msgspec.Struct], schema: Json) -> Json:
    """Return the schema of a struct as it is encoded: it has every field, or none whose value is its default."""
    fields = msgspec.structs.fields(kind)
    if not kind.__struct_config__.omit_defaults:
        return schema | {"required": [field.encode_name for field in fields if field.default is not msgspec.UNSET]}
    properties = schema["properties"]
    optional = [field.encode_name for field in fields if field.default is None]
    given = {name: _without_type(properties[name], "null") for name in optional}
    return schema | {"properties": properties | given}


def _without_type(schema: Json, dropped: str) -> Json:
    others = {key: value for key, value in schema.items() if key != "default"}
    kinds = [kind for kind in schema["type"] if kind != dropped]
    return others | {"type": kinds if len(kinds) > 1 else kinds[0]}


def _with_property(schema: Json, name: str, more: Json) -> Json:
    """Return the schema of an object with more about one of its properties."""
    properties = schema["properties"]
    return schema | {"properties": properties | {name: properties[name] | more}}


def _with_count(schema: Json, name: str, most: int) -> Json:
    return _with_property(schema, name, {"minItems": 1, "maxItems": most})


def _instance(instance: Json, schema: Schema, examples: Sequence[Json]) -> Json:
    """Describe the features of an instance, and add an example."""
    found = instance["properties"]
    properties = {feature.name: _feature(found[feature.name], feature) for feature in schema.features}
    properties |= {name: {"description": "retired: accepted and ignored"} for name in schema.retired}
    return instance | {"properties": properties, "examples": list(examples[:1])}


def _feature(found: Json, feature: Feature) -> Json:
    """Describe a feature, and add what InstanceParser checks after the types: whole numbers, names of buckets."""
    described = {"description": text} if (text := _description(feature)) else {}
    if feature.kind == "integer":
        return _without_type(found, "number") | _INTEGER | described
    if feature.bins:
        names = [*(feature.vocabulary or ()), *([None] if feature.nullable else [])]
        return found | {"anyOf": [{"type": "number"}, {"enum": names}]} | described
    return found | described


def _description(feature: Feature) -> str:
    parts = [feature.description, feature.unit]
    if feature.range:
        parts.append(f"usually {feature.range[0]:g} to {feature.range[1]:g}")
    if feature.vocabulary:
        parts.append(f"known: {', '.join(feature.vocabulary)}")
    return "; ".join(part for part in parts if part)


def _prediction_response(schema: Schema) -> Json:
    """Describe the response to a prediction request: a prediction has the fields of the use case's task."""
    found = _generate([Prediction])["Prediction"]["properties"]
    meaning = f"P({schema.positive})" if schema.positive else "the largest probability"
    if schema.task == "regression":
        known: Json = {"value": {"description": schema.unit}}
    else:
        known = {"label": {"enum": list(schema.classes)}, "score": {"description": meaning}, "probabilities": {}}
    row = {"id": _TEXT | {"description": "what feedback names"}}
    row |= {name: _without_type(found[name], "null") | more for name, more in known.items()}
    return _object(
        {
            "model": _object({"name": _TEXT, "version": _TEXT}),
            "request_id": _TEXT,
            "predictions": {"type": "array", "items": _object(row)},
            "warnings": {"type": "array", "items": ref("InputWarning")},
        }
    )


def _feedback_entry(entry: Json, schema: Schema) -> Json:
    """Describe an entry: a label or value, as the task has it, for either an `id` or a `key`; null counts as absent."""
    truth, other = ("value", "label") if schema.task == "regression" else ("label", "value")
    found = entry["properties"]
    given = {name: _without_type(found[name], "null") for name in ("id", "key", truth)}
    if schema.classes:
        given[truth] |= {"enum": list(schema.classes)}
    return {
        "oneOf": [
            entry
            | {
                "properties": found | {of: given[of], absent: _NULL, truth: given[truth], other: _NULL},
                "required": [of, truth],
            }
            for of, absent in (("id", "key"), ("key", "id"))
        ]
    }


def _object(properties: Json) -> Json:
    """Return the schema of an object that has all these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}
