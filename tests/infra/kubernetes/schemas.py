"""JSON Schemas for kubeconform, made from the OpenAPI of a cluster and further custom resource definitions.

The published ones (github.com/yannh/kubernetes-json-schema) are made from the same document in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
LOCATION = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"
_REFERENCE = "#/definitions/"
_LOOSE = {  # written as one type in OpenAPI, and accepted as either
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def write(folder: Path, openapi: Schema, definitions: list[Path]) -> str:
    """Write a file for each kind into the folder and return the `-schema-location` for kubeconform."""
    parts = {name: _strict(part) for name, part in (openapi["definitions"] | _LOOSE).items()}
    for name, part in parts.items():
        for kind in openapi["definitions"][name].get("x-kubernetes-group-version-kind", []):
            path = folder / _name(kind["kind"], kind["group"], kind["version"])
            needed = {other: parts[other] for other in _needed(name, parts)}
            path.write_text(json.dumps(_closed(part, kind) | {"definitions": needed}))
    for definition in definitions:
        crd = yaml.safe_load(definition.read_text())["spec"]
        for version in crd["versions"]:
            kind = {"kind": crd["names"]["kind"], "group": crd["group"], "version": version["name"]}
            schema = _closed(_strict(version["schema"]["openAPIV3Schema"]), kind)
            schema["properties"]["metadata"] = {"type": "object"}  # which every kind has, and a definition leaves out
            (folder / _name(**kind)).write_text(json.dumps(schema))
    return f"{folder}/{LOCATION}"


def _name(kind: str, group: str, version: str) -> str:
    """Name the file as `LOCATION` does; kubeconform uses the version where there is no group."""
    return f"{kind.lower()}-{group or version}-{version}.json"


def _strict(schema: Any) -> Any:
    """Forbid fields that the schema does not name, at every depth."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["string", "integer"]
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def _closed(schema: Schema, kind: dict[str, str]) -> Schema:
    """Restrict the schema to this kind and version."""
    version = "/".join(filter(None, (kind["group"], kind["version"])))
    named = {"apiVersion": {"const": version}, "kind": {"const": kind["kind"]}}
    return schema | {"properties": schema.get("properties", {}) | named, "required": ["apiVersion", "kind"]}


def _needed(name: str, parts: dict[str, Schema]) -> set[str]:
    """Collect every definition that one references."""
    found: set[str] = set()
    left = [name]
    while left:
        for other in _references(parts[left.pop()]):
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for entry in schema:
            yield from _references(entry)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from _references(value)
