"""Parses the rows of a request: JSON is parsed and checked against the schema in one pass.

The struct that msgspec fills is made from the schema, so a name, a type and a missing value are checked while the JSON
is read; what is refused names its place, as `instances[3].age`.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Annotated, Any, Literal, NoReturn

import msgspec

from slipway.contracts.events.prediction_event import MAX_TEXT, MAX_TEXTS
from slipway.contracts.schema import Feature, Schema, is_canonical, key_text
from slipway.errors import InputError, suggestion
from slipway.inference import base64_text
from slipway.inference.json_errors import describe_syntax, split_message
from slipway.inference.json_limits import require_bounded
from slipway.inference.text_values import TextValues
from slipway.tables.cells import LARGEST_EXACT_FLOAT, LARGEST_FLOAT, LARGEST_INTEGER

TOO_LARGE = "the number is infinite, or too large for 32 bits (3.4e38)."
_SHOWN = 60  # characters of what a caller sent, in an error
_Float = Annotated[float, msgspec.Meta(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT)]
_KINDS = {"number": _Float, "integer": int | float, "boolean": bool}
_astuple = msgspec.structs.astuple
_encode_lines = msgspec.json.Encoder().encode_lines
_LISTED = re.compile(r"Expected `object`, got `array` - at `\$\.instances\[\d+\]`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TOO_LONG = re.compile(r"Expected `str` of length <= (\d+)")
_WANTED = {
    "float": "a number",
    "int | float": "an integer",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
}


class EncodedImage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An image of a request, `{"b64": "…"}`: a PNG, JPEG, WebP or BMP file in base64.

    Line breaks, a data URI, the alphabet of URLs and missing padding are understood, too.
    """

    b64: bytes


class Request(msgspec.Struct, frozen=True):
    """Rows as tuples of the values of `names`, None where a value was null or absent.

    `texts` are the rows' key texts, where the schema is plain; `keys` are the caller's own. If the rows are `in_range`,
    none of their values is missing, or unlike those in training.
    """

    names: tuple[str, ...]
    values: list[tuple[Any, ...]]
    texts: list[bytes] | None
    keys: list[str] | None
    in_range: bool = False

    @property
    def instances(self) -> list[dict[str, Any]]:
        return [dict(zip(self.names, values, strict=True)) for values in self.values]


def picker(positions: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Make the function that picks the values at these positions of a row, in this order.

    >>> picker([2, 0])(("a", "b", "c"))
    ('c', 'a')
    """
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda row: tuple(row[position] for position in positions)


class InstanceParser:
    """Parser of the instances of one schema: objects by feature name, or arrays in the order of the features.

    `request_type` is the struct of a body whose instances are objects; the API's documentation is generated from it.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names = schema.names
        self._width = len(self._names)
        self._allowed = [*(feature.name for feature in schema.features), *schema.retired]
        self._elements = 2 * len(self._allowed) + 3  # of a row with its key, were each value an object
        self._integers = [n for n, name in enumerate(self._names) if schema.by_name[name].kind == "integer"]
        buckets = {n: schema.by_name[name] for n, name in enumerate(self._names)}
        self._buckets = {n: frozenset(f.vocabulary or ()) for n, f in buckets.items() if f.bins}
        self._text_values = TextValues(schema)
        text = _text_type(schema)
        fields = {feature.name: _field(position, feature, text) for position, feature in enumerate(schema.features)}
        retired = {name: (f"r{position}", Any, None) for position, name in enumerate(schema.retired)}
        named = {**{name: fields[name] for name in self._names}, **retired}
        rename = {field[0]: name for name, field in named.items()}
        options: dict[str, Any] = {"rename": rename, "forbid_unknown_fields": True, "gc": False}
        self._object: type = msgspec.defstruct("Instance", named.values(), kw_only=True, omit_defaults=True, **options)
        all_fields = [(field, kind) for field, kind, *_ in fields.values()]
        array = msgspec.defstruct("Instance", all_fields, array_like=True, **options)
        self.request_type = _request(self._object)
        self._objects: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.request_type)
        self._arrays: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_request(array))
        self._array = array
        self._in_range: msgspec.json.Decoder[Any] | None = (
            msgspec.json.Decoder(_request(_in_range_instance(schema, rename)))
            if _allows_strict_decoder(schema)
            else None
        )
        self._sorted = picker([self._allowed.index(name) for name in self._names])

    def request(self, body: bytes, max_instances: int) -> Request:
        """Parse a request's body, `{"instances": […], "keys": […]}`.

        Raises:
            InputError: 400 where the body is not JSON, 413 where it has too many instances, 422 for anything else.
        """
        require_bounded(body, max_instances * self._elements)
        parsed, in_range = self._parse_in_range(body), True
        if parsed is None:
            parsed, in_range = self._parse(body), False
        instances = parsed.instances
        self._check_count(instances, parsed.keys, max_instances)
        values = self._values(instances)
        changed = [] if in_range else self._text_values.normalize(values)
        self._check(values)
        texts = self._texts(instances, values, changed) if self._schema.plain else None
        return Request(self._names, values, texts, parsed.keys, in_range)

    def rows(self, instances: Sequence[Any]) -> list[dict[str, Any]]:
        """Check rows that are dictionaries, as those of a file."""
        values = self._values(self._convert(list(instances)))
        self._text_values.normalize(values)
        self._check(values)
        return Request(self._names, values, None, None).instances

    def _values(self, instances: list[Any]) -> list[tuple[Any, ...]]:
        rows = [_astuple(instance) for instance in instances]
        if rows and instances[0].__class__ is self._array:
            return [self._sorted(row) for row in rows]
        return [row[: self._width] for row in rows] if self._schema.retired else rows

    def _texts(self, instances: list[Any], values: list[tuple[Any, ...]], changed: list[int]) -> list[bytes]:
        """Of most rows the JSON of the struct as it is, whose fields are sorted; not of the changed ones."""
        if instances[0].__class__ is self._array:
            return [self._text(row) for row in values]
        lines = _encode_lines(instances)
        texts = lines.split(b"\n")
        texts.pop()  # behind the last line
        for position in changed:
            texts[position] = self._text(values[position])
        if is_canonical(lines):
            return texts
        return [text if is_canonical(text) else self._text(row) for text, row in zip(texts, values, strict=True)]

    def _text(self, values: tuple[Any, ...]) -> bytes:
        return key_text(dict(zip(self._names, values, strict=True)), self._schema).encode()

    def _parse_in_range(self, body: bytes) -> Any:
        """Parse with the strict decoder: None, in a microsecond, if a value is out of the training data's range."""
        if self._in_range is None:
            return None
        try:
            return self._in_range.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _convert(self, instances: list[Any]) -> list[Any]:
        try:
            return msgspec.convert(instances, list[self._object])  # type: ignore[name-defined]
        except msgspec.ValidationError as error:
            message = str(error)
        standard = base64_text.standard_rows(instances) if base64_text.NOT_BASE64 in message else instances
        if standard == instances:
            self._refuse(message.replace("at `$", "at `$.instances"))
        return self._convert(standard)

    def _parse(self, body: bytes) -> Any:
        """Parse any body, also behind a byte order mark (RFC 8259, section 8.1) and with base64 as clients write it."""
        body = body.removeprefix(codecs.BOM_UTF8)
        try:
            return self._decode(body)
        except InputError as error:
            if base64_text.NOT_BASE64 not in str(error):
                raise
        return self._decode(base64_text.standard_body(body))

    def _decode(self, body: bytes) -> Any:
        try:
            return self._objects.decode(body)
        except msgspec.ValidationError as error:
            message = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            found = describe_syntax(body, error)
            raise InputError(f'{found} Send {{"instances": [{{…}}]}}.', status=400) from None
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
            raise InputError("no instances received; at least one is needed.", "instances")
        if len(instances) > most:
            raise InputError(
                f"{len(instances)} instances received, at most {most} are allowed: send several requests.",
                "instances",
                413,
            )
        if keys is not None and len(keys) != len(instances):
            raise InputError(
                f"{len(keys)} keys received for {len(instances)} instances: one for each is needed.", "keys"
            )

    def _check(self, rows: list[tuple[Any, ...]]) -> None:
        """Check what types do not: integers are whole, and a bucket's name is one of its buckets."""
        for column in self._integers:
            for position, row in enumerate(rows):
                value = row[column]
                if value.__class__ is float and not value.is_integer():
                    shown = "a private value" if self._schema.by_name[self._names[column]].private else value
                    raise InputError(f"{shown} received, an integer is needed.", self._place(position, column))
                if value is not None and value.__class__ is not str and abs(value) > LARGEST_INTEGER:
                    raise InputError("the integer is larger than 64 bits hold.", self._place(position, column))
                if value.__class__ is float and abs(value) > LARGEST_EXACT_FLOAT:
                    raise InputError(
                        "a float of 2^53 or more may have been rounded: send an integer without point and exponent.",
                        self._place(position, column),
                    )
        for column, buckets in self._buckets.items():
            for position, row in enumerate(rows):
                value = row[column]
                if isinstance(value, str) and value not in buckets:
                    raise InputError(  # the value itself is private
                        f"a text received, a number or one of {sorted(buckets)} is needed.",
                        self._place(position, column),
                    )

    def _place(self, position: int, column: int) -> str:
        return f"instances[{position}].{self._names[column]}"

    def _refuse(self, message: str) -> NoReturn:
        """Raise msgspec's error as an InputError: what was sent, what is allowed, and where."""
        message, place = split_message(message)
        if unknown := _UNKNOWN.match(message):
            name = unknown.group(1)[:_SHOWN].removesuffix("`")
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
        return f"{found.group(1)}.{self._allowed[int(found.group(2))]}" if found else place


def _text_type(schema: Schema) -> Any:
    """Make the type of a text: as long as a caller may choose, or as the longest that the model was trained on."""
    texts = sum(feature.kind == "category" or bool(feature.private) for feature in schema.features)
    trained = max((len(text) for feature in schema.features for text in feature.vocabulary or ()), default=0)
    return Annotated[str, msgspec.Meta(max_length=max(min(MAX_TEXT, MAX_TEXTS // max(texts, 1)), trained))]


def _field(position: int, feature: Feature, text: Any) -> tuple[str, Any] | tuple[str, Any, None]:
    kind: Any = {"image": EncodedImage, "category": text}.get(feature.kind) or _KINDS[feature.kind]
    if feature.private == "bucket":
        kind = _Float | text
    elif feature.private == "token":
        kind = kind | text
    if feature.nullable:
        return f"f{position}", kind | None, None
    return f"f{position}", kind


def _allows_strict_decoder(schema: Schema) -> bool:
    return not (schema.images or schema.masked) and all(f.vocabulary for f in schema.codes if f.kind == "category")


def _in_range_instance(schema: Schema, rename: dict[str, str]) -> type:
    """Make the type of an instance that has all values, each in the range of the training data."""
    fields = {rename_of: name for name, rename_of in rename.items()}
    kinds = [(fields[name], _in_range_kind(schema.by_name[name])) for name in schema.names]
    return msgspec.defstruct("InRange", kinds, rename=rename, forbid_unknown_fields=True, gc=False)


def _in_range_kind(feature: Feature) -> Any:
    if feature.kind == "category":
        return Literal[feature.vocabulary]
    if feature.kind == "boolean":
        return bool
    low, high = feature.range or (-LARGEST_FLOAT, LARGEST_FLOAT)
    if feature.kind == "number":
        return Annotated[float, msgspec.Meta(ge=low, le=high)]
    lowest = min(max(math.ceil(low), -LARGEST_EXACT_FLOAT), LARGEST_INTEGER)  # bounds are of 64 bits
    highest = max(min(math.floor(high), LARGEST_EXACT_FLOAT), -LARGEST_INTEGER)
    return Annotated[int, msgspec.Meta(ge=lowest, le=highest)]


def _request(instance: type) -> type:
    key = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    keys = Annotated[list[key] | None, msgspec.Meta(description="Your own, one an instance")]
    fields: list[Any] = [("instances", list[instance]), ("keys", keys, None)]  # type: ignore[valid-type]
    return msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)


def _in_words(message: str) -> str:
    if message.startswith(("Expected `float` <= ", "Expected `float` >= ")):
        return TOO_LARGE
    if too_long := _TOO_LONG.fullmatch(message):
        return f"the text is longer than {too_long.group(1)} characters, which is the limit."
    found = re.fullmatch(r"Expected `(.*)`, got `(.*)`", message)
    if not found:
        return f"{message}."
    kinds, received = found.groups()
    nullable = kinds.endswith(" | null")
    wanted = _WANTED.get(kinds.removesuffix(" | null"), kinds)
    return f"{received} received, {wanted}{' or null' if nullable else ''} is needed.{_hint(kinds, received)}"


def _hint(kinds: str, received: str) -> str:
    if received == "str" and "float" in kinds:
        return " Numbers are not put in quotes."
    is_code = kinds.startswith("str") and received in ("int", "float", "bool")
    return " Texts are put in quotes, codes of a category, too." if is_code else ""
