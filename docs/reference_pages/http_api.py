"""Page of the HTTP API: the routes and schemas of the OpenAPI document of a made-up use case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from bentos.api.openapi import document
from bentos.auth.scopes import required_scopes
from reference_pages.markdown import code, table
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.inference.instance_parser import InstanceParser
from slipway.settings import Settings

Json = Mapping[str, Any]
HEAD = """# HTTP API

The routes of the prediction service, from its OpenAPI document. A running service serves its own document, with the
names, types and ranges of its features, at `/openapi.json`, and a page to try it at `/docs`. Here, `NAME` is a use
case, `TARGET` its target, and the classes are `good` and `bad`. If only one use case is served, the short routes
without `models/NAME` are the same.

The web page at `/` needs no credential. A credential is an API key or a bearer token with one of the scopes of a
route ([Secure the service](../how-to/secure-the-service.md)); one that is for some use cases gets 403 for every other
`NAME`, and lists show it its own. Every error, from any layer, is `application/problem+json`.

JSON is sent in UTF-8; a byte order mark before it is ignored. An image is `{"b64": "…"}`, its file in base64: with
line breaks, as a data URI, without padding or in the alphabet of URLs, too. Requests to upgrade to HTTP/2 or TLS are
answered in HTTP/1.1 ([run behind a proxy](../how-to/run-behind-a-proxy.md#clients-that-ask-for-another-protocol)).
"""


def page() -> str:
    return HEAD + _http(_example_document())


def _example_document() -> Json:
    features = (Feature("FEATURE", "number"),)
    schema = Schema(CONTRACT, "NAME", "binary", features, "TARGET", classes=("good", "bad"), positive="bad")
    served = SimpleNamespace(
        usecase="NAME", schema=schema, reader=InstanceParser(schema), examples=[{"FEATURE": 1.0}], serving={}
    )
    return document({"NAME": served}, Settings.model_fields["max_instances"].default, credentials=True)


def _http(openapi: Json) -> str:
    parts, operations = openapi["components"], list(_operations(openapi))
    routes = [[code(method), code(path), found["summary"], _scopes(path, found)] for method, path, found in operations]
    text = "\n## Routes\n\n" + table(["method", "path", "what", "scopes"], routes)
    for method, path, found in operations:
        if not _is_short(path) and not path.startswith(("/livez", "/readyz", "/metrics")):
            text += _operation(method, path, found)
    errors = [[code, error["description"], _names(error["headers"])] for code, error in parts["responses"].items()]
    text += "\n## Errors\n\n" + table(["status", "when", "headers"], errors)
    headers = {name: parts["headers"][_last(ref)] for name, ref in _used_headers(openapi).items()}
    rows = [[code(name), _schema(each["schema"]), each.get("description", "")] for name, each in headers.items()]
    text += "\n## Response headers\n\n" + table(["header", "type", "meaning"], rows) + "\n## Schemas\n"
    for name, schema in parts["schemas"].items():
        text += f"\n### {name}\n\n" + _fields(schema)
    return text


def _operations(openapi: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _is_short(path: str) -> bool:
    return path.startswith("/v1/") and not path.startswith("/v1/models")


def _scopes(path: str, operation: Json) -> str:
    if operation.get("security") == []:
        return "none needed"
    name = path.rpartition("/")[2]
    return ", ".join(code(scope) for scope in required_scopes("model" if name == "NAME" else name))


def _operation(method: str, path: str, found: Json) -> str:
    text = f"\n## {method} {path}\n\n{found['summary']}.\n"
    if parameters := found.get("parameters"):
        rows = [[code(each["name"]), _schema(each["schema"]), each.get("description", "")] for each in parameters]
        text += "\n" + table(["request header", "type", "meaning"], rows)
    for kind, content in found.get("requestBody", {}).get("content", {}).items():
        text += f"\nRequest body (`{kind}`):\n\n" + _fields(content["schema"])
    for kind, content in found["responses"]["200"]["content"].items():
        text += f"\nResponse 200 (`{kind}`):\n\n" + _fields(content["schema"])
    return text + f"\nErrors: {', '.join(code for code in found['responses'] if code != '200')}.\n"


def _fields(schema: Json) -> str:
    rows = list(_rows("", schema))
    parts = [_schema(each) for each in schema.get("allOf", ()) if "$ref" in each]
    also = f"The fields of {', '.join(parts)}, and:\n\n" if parts else ""
    return also + table(["field", "type", "required", "meaning"], rows) if rows else f"{_schema(schema)}\n"


def _rows(path: str, schema: Json) -> Iterator[list[str]]:
    """A row for each property, also of the objects and lists of objects in it."""
    for name, inner in _properties(schema).items():
        here = f"{path}{name}"
        required = "yes" if name in _required(schema) else ""
        yield [code(here), _schema(inner), required, inner.get("description", "")]
        yield from _rows(f"{here}.", inner)
        yield from _rows(f"{here}[].", inner.get("items") or {})


def _alternatives(schema: Json) -> list[Json]:
    return [*schema.get("oneOf", ()), *schema.get("allOf", ())]


def _properties(schema: Json) -> dict[str, Json]:
    """Properties of an object, or of all its alternatives: a value in one replaces a null in another."""
    found = dict(schema.get("properties", {}))
    for inner in _alternatives(schema):
        for name, value in _properties(inner).items():
            if name not in found or found[name] == {"type": "null"}:
                found[name] = value
    return {name: value for name, value in found.items() if value != {"type": "null"}}


def _required(schema: Json) -> set[str]:
    """The properties that are required whichever alternative holds."""
    choices = [_required(each) for each in schema.get("oneOf", ())]
    parts = [_required(each) for each in schema.get("allOf", ())]
    return set(schema.get("required", ())).union(*parts) | (set.intersection(*choices) if choices else set())


def _schema(schema: Json) -> str:
    """The type of a JSON Schema in words, with links to the schemas that it refers to."""
    if "$ref" in schema:
        name = _last(schema)
        return f"[{name}](#{name.lower().replace('.', '')})"
    if "const" in schema:
        return code(str(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(str(value)) for value in schema["enum"])
    for words, key in ((" or ", "anyOf"), (" and ", "allOf"), (" or ", "oneOf")):
        if key in schema:
            return words.join(dict.fromkeys(map(_schema, schema[key])))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_schema(schema['items'])}" if schema.get("items") else "array"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_schema(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else kind


def _last(ref: Json) -> str:
    return ref["$ref"].rpartition("/")[2]


def _names(headers: Json) -> str:
    return ", ".join(map(code, headers))


def _used_headers(openapi: Json) -> dict[str, Json]:
    """Every response header, by its name, with the reference to its description."""
    found = {name: ref for each in openapi["components"]["responses"].values() for name, ref in each["headers"].items()}
    for _, _, operation in _operations(openapi):
        found |= operation["responses"]["200"]["headers"]
    return dict(sorted(found.items()))
