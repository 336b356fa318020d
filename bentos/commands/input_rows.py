"""Input rows of `slipway predict`: from JSON text, or files of JSON, JSON lines, CSV, Parquet or images.

A table is read as training reads its source, so the very file that was trained on can be given.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.console import say
from slipway.errors import DataError, InputError
from slipway.tables import compressed_files, feature_rows

if TYPE_CHECKING:
    from slipway.contracts.schema import Schema
    from slipway.tables.feature_rows import Decode

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
JSON = (".json", ".jsonl", ".ndjson")
TABLES = (".csv", ".parquet")


def read(inputs: list[str], schema: Schema, decode: Decode | None = None) -> list[Any]:
    """Read the rows of all inputs in order, unchecked, as objects by feature name; `decode` is for tables.

    Raises:
        DataError: an input is neither JSON nor a readable file, or there are no rows.
    """
    rows = [_by_name(row, schema) for one in inputs for row in _read(one, schema, decode)]
    if not rows:
        raise DataError("the input has no rows; at least one is needed.")
    return rows


def _by_name(row: Any, schema: Schema) -> Any:
    """Convert a row that is an array, with its values in the order of the features, to an object."""
    if isinstance(row, list) and len(row) == len(schema.features):
        return dict(zip(schema.by_name, row, strict=True))
    return row


def _read(one: str, schema: Schema, decode: Decode | None) -> list[Any]:
    if one == "-":
        return _json(sys.stdin.read(), "standard input")
    if one.lstrip()[:1] in ("{", "["):
        return _json(one, "the argument")
    path = Path(one)
    kind = compressed_files.plain_suffix(path)
    if not path.is_file():
        if kind in (*JSON, *IMAGES) or feature_rows.is_table(path):
            raise DataError(f"there is no file {one}.")
        allowed = ", ".join((*JSON, *TABLES, *IMAGES))
        raise DataError(f"{one!r} is neither JSON such as '{{\"age\": 42}}' nor a file of a supported kind: {allowed}")
    if kind in IMAGES:
        return [_image(path, schema)]
    return _json(_text(path), str(path)) if kind in JSON else _table(path, schema, decode)


def _table(path: Path, schema: Schema, decode: Decode | None) -> list[dict[str, Any]]:
    """Read a table, and say which of its columns are not used and which features it lacks."""
    if schema.table.decoded and decode is None:
        say(f"{path.name}: read as clients write rows; with --decode as the source, whose codes decode.py replaces")
    found = feature_rows.read(path, schema, decode=decode)
    known = {*schema.retired, schema.target}
    if ignored := [name for name in found.ignored if name not in known]:
        say(f"{path.name}: ignored, as they are no features: {', '.join(ignored)}")
    if found.absent and found.rows:
        say(f"{path.name}: has no column of {', '.join(found.absent)}")
    for image in schema.images:
        found.rows[:] = [{**row, image.name: _encoded(row.get(image.name))} for row in found.rows]
    return found.rows


def _encoded(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _json(text: str, where: str) -> list[Any]:
    """Parse an instance, a list of instances, a request's body, or one instance per line."""
    text = text.removeprefix("\ufeff")
    try:
        found = _parse(text)
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]  # a text may hold other ends of lines
        try:
            return [_parse(line) for line in lines if len(lines) > 1] or _refuse(where, error)
        except ValueError:
            _refuse(where, error)
    except RecursionError:
        raise DataError(f"{where} is nested too deep: instances are flat.") from None
    if isinstance(found, dict) and isinstance(found.get("instances"), list):
        return found["instances"]
    if isinstance(found, list) and all(isinstance(row, (dict, list)) for row in found):
        return found
    return [found]


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON. Write null where a value is missing")


def _refuse(where: str, error: ValueError) -> Any:
    raise DataError(f"{where} is not JSON: {error}.") from None


def _image(path: Path, schema: Schema) -> dict[str, Any]:
    if not schema.images:
        raise InputError(f"{schema.usecase} takes no image; pass rows of {', '.join(schema.by_name)}.")
    return {schema.images[0].name: _encoded(path.read_bytes())}


def _text(path: Path) -> str:
    try:
        with compressed_files.opened(path) as content:
            return content.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): convert it first, as with iconv.") from None
