"""Double of Kibana's saved objects API: imports into spaces and looks up, as its OpenAPI document and source describe.

It rejects what Kibana rejects: a request without `kbn-xsrf`, a file with another ending, an unknown key, a missing
space, and objects whose references are neither in the file nor in the space.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from tests.support.doubles.http_double import Answer, HttpDouble, Refused

_PATH = re.compile(r"(?:/s/([a-z0-9_-]+))?/api/saved_objects/(_import|_bulk_get)")
_FILE = re.compile(rb'name="file"; filename="([^"]+)"\r\n(?:[^\r\n]+\r\n)*\r\n(.*)\r\n--', re.DOTALL)
Key = tuple[str, str]


class KibanaDouble(HttpDouble):
    """Kibana with its spaces, each a mapping of (type, id) to the saved object."""

    def __init__(self, api_key: str = "", spaces: tuple[str, ...] = ("default",)) -> None:
        super().__init__()
        self.spaces: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in spaces}
        self._api_key = api_key

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        found = _PATH.fullmatch(path)
        if method != "POST" or not found or (found[1] or "default") not in self.spaces:
            raise _refused(404, "Not Found")
        if self._api_key and self.request_headers.get("Authorization") != f"ApiKey {self._api_key}":
            raise _refused(401, "Unauthorized")
        if "kbn-xsrf" not in self.request_headers:
            raise _refused(400, "Request must contain a kbn-xsrf header.")
        space = self.spaces[found[1] or "default"]
        if found[2] == "_bulk_get":
            return {"saved_objects": [_looked_up(each["type"], each["id"], space) for each in json.loads(body)]}
        return self._import(space, _objects(body), query.get("overwrite") == "true")

    def _import(self, space: dict[Key, dict[str, Any]], objects: list[dict[str, Any]], overwrite: bool) -> Answer:
        known = {*space, *((each["type"], each["id"]) for each in objects)}
        errors = [error for each in objects for error in _errors(each, known, space, overwrite)]
        failed = {(error["type"], error["id"]) for error in errors}
        created = [each for each in objects if (each["type"], each["id"]) not in failed]
        results = [_success(each, space) for each in created]
        if not errors:  # objects are created only when all errors are resolved
            space.update({(each["type"], each["id"]): each for each in created})
        found = {"success": not errors, "successCount": 0 if errors else len(results), "warnings": []}
        return {**found, "successResults": results, **({"errors": errors} if errors else {})}


def _objects(body: bytes) -> list[dict[str, Any]]:
    found = _FILE.search(body)
    if not found:
        raise _refused(400, "[request body.file]: expected value of type [Stream] but got [undefined]")
    if not found[1].endswith(b".ndjson"):
        raise _refused(400, f"Invalid file extension {found[1].decode().rpartition('.')[2]}")
    return [json.loads(line) for line in found[2].splitlines() if line.strip()]


def _errors(each: dict[str, Any], known: set[Key], space: dict[Key, Any], overwrite: bool) -> list[dict[str, Any]]:
    missing = [one for one in each["references"] if (one["type"], one["id"]) not in known]
    about = {"type": each["type"], "id": each["id"], "title": each["attributes"]["title"]}
    found = [{**about, "error": {"type": "missing_references", "references": missing}}] if missing else []
    if not overwrite and (each["type"], each["id"]) in space:
        found.append({**about, "error": {"type": "conflict"}})
    return found


def _success(each: dict[str, Any], space: dict[Key, Any]) -> dict[str, Any]:
    meta = {"title": each["attributes"]["title"], "icon": f"{each['type']}App"}
    overwritten = {"overwrite": True} if (each["type"], each["id"]) in space else {}
    return {"type": each["type"], "id": each["id"], "meta": meta, "managed": False, **overwritten}


def _looked_up(kind: str, id: str, space: dict[Key, Any]) -> dict[str, Any]:
    if (kind, id) in space:
        return {"type": kind, "id": id, "attributes": {"title": space[kind, id]["attributes"]["title"]}}
    missing = {"statusCode": 404, "error": "Not Found", "message": f"Saved object [{kind}/{id}] not found"}
    return {"type": kind, "id": id, "error": missing}


def _refused(status: int, message: str) -> Refused:
    found = Refused(status, "", message)
    found.content = {"statusCode": str(status), "error": HTTPStatus(status).phrase, "message": message}
    return found
