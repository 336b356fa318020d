"""OpenAPI document, generated from the schemas of the models that serve; tests compare the server with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bentos.api import openapi_schemas
from bentos.api.openapi_schemas import Json, ref
from slipway import __version__

if TYPE_CHECKING:
    from bentos.models import LoadedModel

_CREDENTIALS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a JSON Web Token"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_UNIT: Json = {
    "name": "X-Slipway-Unit",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Unit of canary routing, such as a user's id: all its requests are answered by the same model.",
}
_TEST: Json = {
    "name": "X-Slipway-Test",
    "in": "header",
    "schema": {"type": "string"},
    "example": "true",  # which /docs fills in: what it sends is an example, unless a person changes it
    "description": "`true` for a test: if its instances are the schema's examples or rows of the bundle's probe, it is "
    "logged as a test, and counts in no statistics.",
}
_ERRORS = {
    "400": "No HTTP/1.1 that can be read, not JSON, or no multipart form",
    "401": "No credential, or none that is valid",
    "403": "The credential lacks a scope or is for other use cases; without credentials: a web page of another site",
    "408": "The request was not complete in time",
    "413": "Too large, or too many instances, in general or for the credential",
    "415": "A content type or encoding that is not taken",
    "422": "A value, a name or a place is wrong; `place` says where",
    "429": "More requests or rows than the credential's limits; `Retry-After` states when to retry",
    "500": "The model or the server failed; the server's log has the reason under the `trace_id`",
    "503": "No model yet, overload, or the log cannot be written; `Retry-After` states when to retry",
}
_BODILESS = ("400", "401", "403", "408", "429", "500", "503")
_OPEN = ("400", "403", "408", "500", "503")
_SECONDS: Json = {"required": True, "schema": {"type": "integer", "minimum": 0}}
_HEADERS: Json = {
    "request": {
        "description": "The request's `X-Request-Id` where it is well formed, else one of the server's",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:/+=-]{1,128}$"},
    },
    "trace": {
        "description": "The trace of the request's `traceparent` where it is well formed, else one of the server's; "
        "log lines and events have it",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "challenge": {"description": "RFC 6750, section 3", "required": True, "schema": {"type": "string"}},
    "retry": {"description": "Seconds until a retry is worthwhile"} | _SECONDS,
    "limit": {"description": "Of the credential's rate, where it has one", "schema": {"type": "string"}},
    "remaining": {"description": "Requests that are left", "schema": {"type": "integer", "minimum": 0}},
    "reset": {"description": "Seconds until the count begins anew", "schema": {"type": "integer", "minimum": 0}},
    "rows-limit": {"description": "Of rows, where the credential has one", "schema": {"type": "string"}},
    "rows-remaining": {"description": "Rows that are left", "schema": {"type": "integer", "minimum": 0}},
    "rows-reset": {"description": "Seconds until rows count anew", "schema": {"type": "integer", "minimum": 0}},
    "cache": {"description": "Where the model has a cache", "schema": {"enum": ["hit", "partial", "miss"]}},
}
_LIMITS = {"RateLimit-Limit": "limit", "RateLimit-Remaining": "remaining", "RateLimit-Reset": "reset"}
_ROW_LIMITS = {
    "RateLimit-Rows-Limit": "rows-limit",
    "RateLimit-Rows-Remaining": "rows-remaining",
    "RateLimit-Rows-Reset": "rows-reset",
}
_IDS = {"X-Request-Id": "request", "X-Trace-Id": "trace"}
_ALWAYS = _IDS | _LIMITS | _ROW_LIMITS
_ERROR_HEADERS = {  # headers of each error; those that are found below ASGI have no id yet
    "400": {},
    "401": _IDS | {"WWW-Authenticate": "challenge"},
    "403": _IDS,
    "408": {},
    "429": _ALWAYS | {"Retry-After": "retry"},
    "503": _ALWAYS | {"Retry-After": "retry"},
}


def document(
    models: Mapping[str, LoadedModel], most: int, *, credentials: bool, alone: bool = True, root_path: str = ""
) -> Json:
    """Return the OpenAPI 3.1 document for the models by use case.

    `most` is the limit of entries in a request, `credentials` whether a credential is needed. A single model has short
    paths if it is `alone`: there are no others, which the reader may not know of. `root_path` is the path under which
    the reader sees the service.
    """
    paths = _fixed()
    parts = openapi_schemas.shared()
    for name, live in models.items():
        instances = min(most, live.serving.get("max_instances", most))
        parts |= openapi_schemas.of_usecase(live, instances, most)
        routes = _routes(live, instances)
        paths |= {f"/v1/models/{name}{end}": route for end, route in routes.items()}
        if alone and len(models) == 1:
            paths |= {f"/v1{end or '/model'}": route for end, route in routes.items()}
    problem = {"application/problem+json": {"schema": ref("Problem")}}
    errors = {
        code: {"description": description, "headers": _headers(_ERROR_HEADERS.get(code, _ALWAYS)), "content": problem}
        for code, description in _ERRORS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Slipway", "version": __version__, "description": "Models as a service, and their feedback."},
        **({"servers": [{"url": root_path}]} if root_path else {}),
        "security": [*([] if credentials else [{}]), *({name: []} for name in _CREDENTIALS)],
        "paths": paths,
        "components": {
            "schemas": parts,
            "responses": errors,
            "headers": _HEADERS,
            "securitySchemes": _CREDENTIALS,
        },
    }


def _fixed() -> Json:
    """Return the routes that do not depend on the use cases."""
    text = {"type": "string"}
    return {
        "/livez": {"get": _probe("Report whether this worker is alive", text)},
        "/readyz": {"get": _probe("Report whether every use case has its model", text)},
        "/metrics": {
            "get": {"summary": "Return metrics for Prometheus", "responses": _responses(text, _BODILESS, "text/plain")}
        },
        "/v1/models": {"get": _get("List the use cases that are served", ref("ModelList"))},
    }


def _routes(live: LoadedModel, max_instances: int) -> Json:
    name, schema = live.usecase, live.schema
    content: Json = {"application/json": {"schema": ref(f"{name}.PredictRequest")}}
    if [f.kind for f in schema.features if not f.nullable] == ["image"]:
        content["multipart/form-data"] = {"schema": openapi_schemas.image_form(max_instances)}
    feedback = {"application/json": {"schema": ref(f"{name}.FeedbackRequest")}}
    predict = _post(f"Predict {schema.target}", content, ref(f"{name}.Answer"))
    predict["responses"]["200"]["headers"] |= _headers({"X-Slipway-Cache": "cache"})
    return {
        "/predict": {"post": predict | {"parameters": [_UNIT, _TEST]}},
        "/feedback": {
            "post": _post(f"Send the true {schema.target} of predictions", feedback, ref("FeedbackResponse"))
        },
        "": {"get": _get("Describe the model that serves, and its workers", ref("ModelMetadata"))},
        "/schema": {
            "get": _get("Describe the features: kinds, units and vocabularies", openapi_schemas.described_schema(name)),
        },
    }


def _post(summary: str, content: Json, answer: Json) -> Json:
    body = {"required": True, "content": content}
    return {"summary": summary, "requestBody": body, "responses": _responses(answer, tuple(_ERRORS))}


def _get(summary: str, answer: Json) -> Json:
    return {"summary": summary, "responses": _responses(answer, _BODILESS)}


def _probe(summary: str, answer: Json) -> Json:
    return {"summary": summary, "security": [], "responses": _responses(answer, _OPEN, "text/plain")}


def _responses(answer: Json, codes: tuple[str, ...], kind: str = "application/json") -> Json:
    good = {"description": "The answer", "headers": _headers(_ALWAYS), "content": {kind: {"schema": answer}}}
    return {"200": good} | {code: {"$ref": f"#/components/responses/{code}"} for code in codes}


def _headers(names: Mapping[str, str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{where}"} for name, where in names.items()}
