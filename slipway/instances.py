"""Rows as callers send them: JSON parsed and checked against the schema in one pass.

The struct that msgspec fills is made from the schema, so a name, a type and a missing value are checked while the JSON
is read; what is refused names its place, as `instances[3].age`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec

from slipway.errors import InputError, suggestion
from slipway.schema import Feature, Schema

_KINDS = {"number": float, "integer": int | float, "category": str, "boolean": bool}
_LARGEST = 2**63 - 1
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_LISTED = re.compile(r"Expected `object`, got `array` - at `\$\.instances\[\d+\]`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_WANTED = {
    "float": "a number",
    "int | float": "an integer",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
}


class EncodedImage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`{"b64": "…"}`: a PNG, JPEG, WebP or BMP file in base64."""

    b64: bytes


class Request(NamedTuple):
    """`instances` map every feature's name to its value, None where it was null or absent."""

    instances: list[dict[str, Any]]
    keys: list[str] | None


class InstanceReader:
    """Reads the instances of one schema, as objects by feature name or as arrays in the order of the features."""

    def __init__(self, schema: Schema) -> None:
        self._names = [feature.name for feature in schema.features]
        self._integers = [feature.name for feature in schema.features if feature.kind == "integer"]
        self._texts = {f.name: frozenset(f.vocabulary or ()) for f in schema.features if f.bins}
        self._allowed = [*self._names, *schema.retired]
        fields = [_field(position, feature) for position, feature in enumerate(schema.features)]
        retired = [(f"r{position}", Any, None) for position in range(len(schema.retired))]
        rename = dict(zip([name for name, *_ in [*fields, *retired]], self._allowed, strict=True))
        options: dict[str, Any] = {"rename": rename, "forbid_unknown_fields": True, "gc": False}
        self._object = msgspec.defstruct("Instance", [*fields, *retired], kw_only=True, **options)
        whole = [(name, kind) for name, kind, *_ in fields]
        del options["forbid_unknown_fields"]
        array = msgspec.defstruct("Instance", whole, array_like=True, forbid_unknown_fields=True, **options)
        self._objects, self._arrays = (msgspec.json.Decoder(_request(kind)) for kind in (self._object, array))
        self._width = len(self._names)

    def request(self, body: bytes, max_instances: int) -> Request:
        """The instances and keys of `{"instances": […], "keys": […]}`.

        Raises:
            InputError: 400 where the body is not JSON, 413 where it has too many instances, 422 for anything else.
        """
        parsed = self._parse(body)
        self._check_count(parsed.instances, parsed.keys, max_instances)
        rows = [
            dict(zip(self._names, msgspec.structs.astuple(instance), strict=False)) for instance in parsed.instances
        ]
        return Request(self._checked(rows), parsed.keys)

    def rows(self, instances: Sequence[Any]) -> list[dict[str, Any]]:
        """The same for Python's dictionaries, as a file of rows gives them."""
        try:
            parsed = msgspec.convert(list(instances), list[self._object])
        except msgspec.ValidationError as error:
            self._refuse(str(error).replace("at `$", "at `$.instances"))
        return self._checked(self._as_rows(parsed))

    def _as_rows(self, instances: list[Any]) -> list[dict[str, Any]]:
        names, values = self._names, msgspec.structs.astuple
        return [dict(zip(names, values(instance), strict=False)) for instance in instances]

    def _parse(self, body: bytes) -> Any:
        try:
            return self._objects.decode(body)
        except msgspec.ValidationError as error:
            message = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f'the body is not JSON: {error}. Send {{"instances": [{{…}}]}}.', status=400) from None
        except RecursionError:
            raise InputError("the body is nested too deeply: instances are flat.", status=400) from None
        if not _LISTED.fullmatch(message):
            self._refuse(message)
        try:
            return self._arrays.decode(body)
        except msgspec.ValidationError as error:
            self._refuse(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"the body is not JSON that can be read: {error}.", status=400) from None

    def _check_count(self, instances: list[Any], keys: list[str] | None, most: int) -> None:
        if not instances:
            raise InputError("no instances came; at least one is needed.", "instances")
        if len(instances) > most:
            raise InputError(
                f"{len(instances)} instances came, at most {most} are allowed: send several requests.", "instances", 413
            )
        if keys is not None and len(keys) != len(instances):
            raise InputError(f"{len(keys)} keys came for {len(instances)} instances: one for each is needed.", "keys")

    def _checked(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the types cannot say: integers are whole, and a bucket's name is one of its buckets."""
        for name in self._integers:
            for position, row in enumerate(rows):
                value = row[name]
                if value.__class__ is float and not value.is_integer():
                    raise InputError(f"{value} came, an integer is needed.", f"instances[{position}].{name}")
                if value.__class__ is int and abs(value) > _LARGEST:
                    raise InputError("the integer is larger than 64 bits hold.", f"instances[{position}].{name}")
        for name, buckets in self._texts.items():
            for position, row in enumerate(rows):
                if isinstance(row[name], str) and row[name] not in buckets:
                    raise InputError(
                        f"{row[name]!r} came, a number or one of {sorted(buckets)} is needed.",
                        f"instances[{position}].{name}",
                    )
        return rows

    def _refuse(self, message: str) -> NoReturn:
        """msgspec's message as ours: what came, what is allowed, and where."""
        found = _PLACE.search(message)
        place = found.group(1) if found else None
        message = _PLACE.sub("", message)
        if unknown := _UNKNOWN.match(message):
            name = unknown.group(1)
            allowed = self._allowed if place else ["instances", "keys"]
            raise InputError(
                f"unknown {'feature' if place else 'key'} {name!r}.{suggestion(name, allowed)} "
                f"Allowed: {', '.join(allowed)}.",
                f"{place}.{name}" if place else name,
            )
        if missing := _MISSING.match(message):
            name = missing.group(1)
            raise InputError(f"{name!r} is missing and must be given.", f"{place}.{name}" if place else name)
        if message.startswith("Expected `array` of at "):
            detail = f"an instance given as an array has {self._width} values, in the features' order."
            raise InputError(detail, place or "instances")  # msgspec names no place where there are too many
        raise InputError(_in_words(message), self._named(place))

    def _named(self, place: str | None) -> str | None:
        """`instances[0][2]`, of an array, by its feature's name."""
        found = re.fullmatch(r"(instances\[\d+\])\[(\d+)\]", place or "")
        return f"{found.group(1)}.{self._names[int(found.group(2))]}" if found else place


def _field(position: int, feature: Feature) -> tuple[str, Any] | tuple[str, Any, None]:
    kind: Any = EncodedImage if feature.kind == "image" else _KINDS[feature.kind]
    if feature.private == "bucket":
        kind = float | str
    elif feature.private == "token":
        kind = kind | str
    if feature.nullable:
        return f"f{position}", kind | None, None
    return f"f{position}", kind


def _request(instance: type) -> type:
    fields = [("instances", list[instance]), ("keys", list[str] | None, None)]  # type: ignore[valid-type]
    return msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)


def _in_words(message: str) -> str:
    found = re.fullmatch(r"Expected `(.*)`, got `(.*)`", message)
    if not found:
        return f"{message}."
    kinds, came = found.groups()
    nullable = kinds.endswith(" | null")
    wanted = _WANTED.get(kinds.removesuffix(" | null"), kinds)
    hint = " Numbers are not put in quotes." if came == "str" and "float" in kinds else ""
    return f"{came} came, {wanted}{' or null' if nullable else ''} is needed.{hint}"
