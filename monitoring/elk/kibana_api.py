"""Kibana's saved objects API: imports data views, saved searches and dashboards into a space.

The requests and the responses are those of Kibana's OpenAPI document, operations `importSavedObjectsDefault` and
`bulkGetSavedObjects` (https://www.elastic.co/docs/api/doc/kibana/v8/group/endpoint-saved-objects).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from slipway.clients.http import HttpClient, Response, without_login
from slipway.errors import ServiceError, SettingsError
from slipway.texts import one_line

T = TypeVar("T")
_SPACE = re.compile(r"[a-z0-9_-]+")  # what Kibana allows as the id of a space
_SECONDS = 60.0  # Kibana migrates each object to its version
_FILE = "objects.ndjson"  # Kibana takes no file whose name ends otherwise
_MOST_ERRORS = 5


class _Meta(msgspec.Struct):
    title: str = ""


class _Reason(msgspec.Struct):
    type: str = "unknown"


class _Imported(msgspec.Struct):
    type: str
    id: str
    meta: _Meta = msgspec.field(default_factory=_Meta)
    overwrite: bool = False


class _Failed(msgspec.Struct):
    type: str
    id: str
    title: str | None = None
    error: _Reason = msgspec.field(default_factory=_Reason)


class _ImportResponse(msgspec.Struct, rename="camel"):
    success: bool
    success_count: int = 0
    success_results: list[_Imported] = []
    errors: list[_Failed] = []


class _Found(msgspec.Struct):
    type: str
    id: str
    error: Any = None


class _FoundObjects(msgspec.Struct):
    saved_objects: list[_Found]


class _Attributes(msgspec.Struct):
    title: str


class _Object(msgspec.Struct):
    type: str
    id: str
    attributes: _Attributes


@dataclass(frozen=True)
class KibanaImport:
    """What an import does: the objects that are new in the space, and those that it overwrites, by type and title."""

    created: list[str]
    overwritten: list[str]


def plan_import(url: str, objects: bytes, *, space: str = "", api_key: str = "") -> KibanaImport:
    """Look up which of the objects are in the space already; nothing is changed.

    Raises:
        SettingsError: `space` can be no id of a space.
        ServiceError: Kibana does not respond, or rejects the request.
    """
    wanted = msgspec.json.Decoder(_Object).decode_lines(objects)
    names = [{"type": each.type, "id": each.id, "fields": ["title"]} for each in wanted]
    kibana = _Kibana(url, space, api_key)
    response = kibana.post("_bulk_get", msgspec.json.encode(names), "application/json")
    known = {(each.type, each.id) for each in kibana.read(response, _FoundObjects).saved_objects if not each.error}
    titles = {(each.type, each.id): f"{each.type} {each.attributes.title}" for each in wanted}
    return KibanaImport(
        [title for key, title in titles.items() if key not in known],
        [title for key, title in titles.items() if key in known],
    )


def import_objects(url: str, objects: bytes, *, space: str = "", api_key: str = "") -> KibanaImport:
    """Import the ndjson of saved objects, overwriting those of the same ids; without `space`, into the default one.

    Raises:
        SettingsError: `space` can be no id of a space.
        ServiceError: Kibana does not respond, rejects the request, or could not import every object.
    """
    boundary, kibana = f"slipway-{secrets.token_hex(16)}", _Kibana(url, space, api_key)
    form = _form(objects, boundary)
    response = kibana.post("_import?overwrite=true", form, f"multipart/form-data; boundary={boundary}")
    return _result(kibana.where, space, kibana.read(response, _ImportResponse))


class _Kibana:
    """Requests to the saved objects of a space."""

    def __init__(self, url: str, space: str, api_key: str) -> None:
        if space and not _SPACE.fullmatch(space):
            raise SettingsError(
                f"--space {space!r} is no id of a space in Kibana: give the one in its address, of a-z, 0-9, _ and -."
            )
        self.where = without_login(url)
        self._url, self._space, self._api_key = url, space, api_key

    def post(self, path: str, content: bytes, kind: str) -> Response:
        headers = {"kbn-xsrf": "true", "Content-Type": kind}
        if self._api_key:
            headers["Authorization"] = f"ApiKey {self._api_key}"
        client = HttpClient(self._url, timeout=_SECONDS)
        root = f"/s/{self._space}" if self._space else ""
        try:
            return client.request("POST", f"{root}/api/saved_objects/{path}", content=content, headers=headers)
        except ServiceError as error:
            raise ServiceError(f"Kibana at {self.where} does not respond: {error}. Check --kibana.") from None
        finally:
            client.close()

    def read(self, response: Response, kind: type[T]) -> T:
        if not response.ok:
            reason = one_line(response.content.decode(errors="replace")) or response.reason
            remedy = _remedy(response.status, self._space)
            raise ServiceError(f"Kibana at {self.where} answered {response.status}: {reason}. {remedy}")
        try:
            return response.read(kind)
        except ServiceError as error:
            raise ServiceError(
                f"{self.where} did not respond as Kibana does ({error}): give its address as --kibana, with the path "
                "under which a proxy publishes it, if any."
            ) from None


def _form(objects: bytes, boundary: str) -> bytes:
    """Write the form with its one field, a file."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_FILE}"\r\n'
        "Content-Type: application/ndjson\r\n\r\n"
    )
    return head.encode() + objects + f"\r\n--{boundary}--\r\n".encode()


def _remedy(status: int, space: str) -> str:
    """Say what to do about an error response."""
    if status in (401, 403):
        return "The key in ELASTICSEARCH_API_KEY must have Kibana's privilege to manage saved objects" + (
            f" in the space {space}." if space else "."
        )
    if status == 404:
        return f"Is there a space {space!r}, and is this Kibana's address?" if space else "Is this Kibana's address?"
    if status == 413:
        return "Raise savedObjects.maxImportPayloadBytes in kibana.yml."
    return "Slipway's objects are for Kibana 8.19 and newer: an older one cannot import them."


def _result(where: str, space: str, found: _ImportResponse) -> KibanaImport:
    if not found.success or found.errors:
        some = [f"{each.type} {each.title or each.id} ({each.error.type})" for each in found.errors[:_MOST_ERRORS]]
        more = f" and {len(found.errors) - _MOST_ERRORS} more" if len(found.errors) > _MOST_ERRORS else ""
        raise ServiceError(
            f"Kibana at {where} imported {found.success_count} objects into the space {space or 'default'}, and not "
            f"{', '.join(some) or 'the others'}{more}. Remove or rename what conflicts in Kibana, under Stack "
            "Management, Saved Objects, and run the same command again."
        )
    created = [_name(each) for each in found.success_results if not each.overwrite]
    return KibanaImport(created, [_name(each) for each in found.success_results if each.overwrite])


def _name(imported: _Imported) -> str:
    return f"{imported.type} {imported.meta.title or imported.id}"
