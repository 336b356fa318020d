"""Double of what the tests' real Elasticsearch lacks: licences, lifecycle policies, ingest pipelines and security.

Answers are shaped as those of Elasticsearch 8.19, with what it adds to a resource that it was sent.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from monitoring.elk.sources import processors
from tests.support.doubles.http_double import Answer, HttpDouble, Refused

FEATURES = ("ilm", "security")


class ElasticsearchError(Refused):
    """Error response in the format of Elasticsearch."""

    def __init__(self, status: int, type_: str, reason: str) -> None:
        super().__init__(status, type_, reason)
        cause = {"type": type_, "reason": reason}
        self.content = {"error": {"root_cause": [cause], **cause}, "status": status}


class ElasticsearchAdminDouble(HttpDouble):
    """Elasticsearch that keeps resources in `stored`, by path, and does nothing with them.

    Attributes:
        writes: the requests that changed something, as `PUT /_ilm/policy/NAME`.
        fails_at: the path at which the next write is refused, once.
    """

    headers: ClassVar[dict[str, str]] = {"X-Elastic-Product": "Elasticsearch"}

    def __init__(
        self,
        licence: str = "basic",
        features: tuple[str, ...] = FEATURES,
        version: str = "8.19.3",
        flavor: str = "default",
    ) -> None:
        super().__init__()
        self.flavor = flavor
        self.licence = licence
        self.features = features
        self.version = version
        self.stored: dict[str, Any] = {}
        self.streams: dict[str, str | None] = {}
        self.keys: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.fails_at = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        path = path.replace("%40", "@")
        if method in ("PUT", "POST", "DELETE"):
            return self._write(method, path, json.loads(body or b"{}"))
        if path == "/":
            return {"version": {"number": self.version, "build_flavor": self.flavor}}
        if path == "/_xpack":
            on = {name: {"available": True, "enabled": name in self.features} for name in FEATURES}
            return {"license": {"type": self.licence}, "features": on}
        if path == "/_nodes/ingest":
            return {"nodes": {"a": {"ingest": {"processors": [{"type": kind} for kind in processors()]}}}}
        if path == "/_security/api_key":
            prefix = query["name"].removesuffix("*")
            return {"api_keys": [key for key in self.keys if key["name"].startswith(prefix)]}
        if path.endswith("/_mapping"):
            return self._mapping(path.split("/")[1])
        return self._read(path)

    def _write(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if self.fails_at and self.fails_at in path:
            self.fails_at = ""
            raise ElasticsearchError(500, "exception", "the node is shutting down")
        self.writes.append(f"{method} {path}")
        if path.startswith("/_security/api_key"):
            return self._write_key(method, path.removeprefix("/_security/api_key").removeprefix("/"), body)
        if path.endswith("/_rollover"):
            stream = path.split("/")[1]
            mappings = self.stored[f"/_component_template/{self._component(stream)}"]["template"]["mappings"]
            self.streams[stream] = mappings["_meta"]["slipway_digest"]
            return {"acknowledged": True, "rolled_over": True}
        self.stored[path] = body
        return {"acknowledged": True}

    def _write_key(self, method: str, id: str, body: dict[str, Any]) -> Answer:
        if method == "DELETE":
            self.keys = [key for key in self.keys if key["id"] not in body["ids"]]
            return {"invalidated_api_keys": body["ids"], "previously_invalidated_api_keys": [], "error_count": 0}
        if id:
            (key,) = [key for key in self.keys if key["id"] == id]
            key.update(body)
            return {"updated": True}
        self.keys.append({**body, "id": f"id-{len(self.keys)}"})
        return {"id": self.keys[-1]["id"], "name": body["name"], "api_key": "secret", "encoded": "aWQ6c2VjcmV0"}

    def _component(self, stream: str) -> str:
        dataset, environment = stream.removeprefix("logs-slipway.").split("-", 1)
        return f"slipway-{environment}-{dataset}@mappings"

    def _mapping(self, stream: str) -> Answer:
        if stream not in self.streams:
            raise ElasticsearchError(404, "index_not_found_exception", f"no such index [{stream}]")
        return {f".ds-{stream}-2026.01.01-000001": {"mappings": {"_meta": {"slipway_digest": self.streams[stream]}}}}

    def _read(self, path: str) -> Answer:
        if path == "/_index_template":
            found = {p: body for p, body in self.stored.items() if p.startswith("/_index_template/")}
            return {"index_templates": [_index_template(p.rpartition("/")[2], body) for p, body in found.items()]}
        if path not in self.stored:
            raise ElasticsearchError(404, "resource_not_found_exception", f"{path} not found")
        name, body = path.rpartition("/")[2], self.stored[path]
        if path.startswith("/_component_template/"):
            return {"component_templates": [{"name": name, "component_template": body}]}
        if path.startswith("/_index_template/"):
            return {"index_templates": [_index_template(name, body)]}
        if path.startswith("/_ilm/policy/"):
            return {name: {"version": 3, "modified_date": "2026-01-01T00:00:00.000Z", **body, "in_use_by": {}}}
        if path.startswith("/_security/role/"):
            return {name: {**body, "run_as": [], "transient_metadata": {"enabled": True}}}
        return {name: body}


def _index_template(name: str, body: dict[str, Any]) -> dict[str, Any]:
    found = {**body, "data_stream": {"hidden": False, "allow_custom_routing": False}}
    return {"name": name, "index_template": found}
