"""Kibana's saved objects API: imports data views, saved searches and dashboards into a space.

The request and the response are those of Kibana's OpenAPI document, operation `importSavedObjectsDefault`
(https://www.elastic.co/docs/api/doc/kibana/v8/operation/operation-importsavedobjectsdefault).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import msgspec

from slipway.clients.http import HttpClient, Response, without_login
from slipway.errors import ServiceError, SettingsError
from slipway.texts import one_line

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


@dataclass(frozen=True)
class KibanaImport:
    """What an import did: the objects that are new in the space, and those that it overwrote, by type and title."""

    created: list[str]
    overwritten: list[str]


def import_objects(url: str, objects: bytes, *, space: str = "", api_key: str = "") -> KibanaImport:
    """Import the ndjson of saved objects, overwriting those of the same ids; without `space`, into the default one.

    Raises:
        SettingsError: `space` can be no id of a space.
        ServiceError: Kibana does not respond, rejects the request, or could not import every object.
    """
    if space and not _SPACE.fullmatch(space):
        raise SettingsError(
            f"--space {space!r} is no id of a space in Kibana: give the one in its address, of a-z, 0-9, _ and -."
        )
    boundary = f"slipway-{secrets.token_hex(16)}"
    headers = {"kbn-xsrf": "true", "Content-Type": f"multipart/form-data; boundary={boundary}"}
    if api_key:
        headers["Authorization"] = f"ApiKey {api_key}"
    client, where = HttpClient(url, timeout=_SECONDS), without_login(url)
    path = f"{f'/s/{space}' if space else ''}/api/saved_objects/_import?overwrite=true"
    try:
        response = client.request("POST", path, content=_form(objects, boundary), headers=headers)
    except ServiceError as error:
        raise ServiceError(f"Kibana at {where} does not respond: {error}. Check --kibana.") from None
    finally:
        client.close()
    return _result(where, space, _read(where, space, response))


def _form(objects: bytes, boundary: str) -> bytes:
    """Write the form with its one field, a file."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_FILE}"\r\n'
        "Content-Type: application/ndjson\r\n\r\n"
    )
    return head.encode() + objects + f"\r\n--{boundary}--\r\n".encode()


def _read(where: str, space: str, response: Response) -> _ImportResponse:
    if not response.ok:
        reason = one_line(response.content.decode(errors="replace")) or response.reason
        raise ServiceError(f"Kibana at {where} answered {response.status}: {reason}. {_remedy(response.status, space)}")
    try:
        return response.read(_ImportResponse)
    except ServiceError as error:
        raise ServiceError(
            f"{where} did not answer as Kibana does ({error}): give its address as --kibana, with the path under which "
            "a proxy publishes it, if any."
        ) from None


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
