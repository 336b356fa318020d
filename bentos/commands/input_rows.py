"""Input rows of `slipway predict`: from JSON text, or files of JSON, JSON lines, CSV, Parquet or images."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.config import tabular
from slipway.errors import DataError, InputError

if TYPE_CHECKING:
    from slipway.contracts.schema import Feature, Schema

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
TABLES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read(inputs: list[str], schema: Schema) -> list[Any]:
    """Read the rows of all inputs in order, unchecked, as objects by feature name.

    Raises:
        DataError: an input is neither JSON nor a readable file, or there are no rows.
    """
    rows = [_by_name(row, schema) for one in inputs for row in _read(one, schema)]
    if not rows:
        raise DataError("the input has no rows; at least one is needed.")
    return rows


def _by_name(row: Any, schema: Schema) -> Any:
    """Convert a row that is an array, with its values in the order of the features, to an object."""
    if isinstance(row, list) and len(row) == len(schema.features):
        return dict(zip(schema.by_name, row, strict=True))
    return row


def _read(one: str, schema: Schema) -> Iterator[Any] | list[Any]:
    if one == "-":
        return _json(sys.stdin.read(), "standard input")
    if one.lstrip()[:1] in ("{", "["):
        return _json(one, "the argument")
    path = Path(one)
    kind = path.suffix.lower()
    if kind not in (*IMAGES, *TABLES):
        allowed = ", ".join((*TABLES, *IMAGES))
        raise DataError(f"{one!r} is neither JSON such as '{{\"age\": 42}}' nor a file of a supported kind: {allowed}")
    if not path.is_file():
        raise DataError(f"there is no file {one}.")
    if kind in IMAGES:
        return [_image(path, schema)]
    if kind == ".csv":
        return _csv(path, schema)
    if kind == ".parquet":
        return _parquet(path, schema)
    return _json(_text(path), str(path))


def _json(text: str, where: str) -> list[Any]:
    """Parse an instance, a list of instances, a request's body, or one instance per line."""
    text = text.removeprefix("\ufeff")
    try:
        found = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines if len(lines) > 1] or _refuse(where, error)
        except ValueError:
            _refuse(where, error)
    except RecursionError:
        raise DataError(f"{where} is nested too deep: instances are flat.") from None
    if isinstance(found, dict) and isinstance(found.get("instances"), list):
        return found["instances"]
    if isinstance(found, list) and all(isinstance(row, (dict, list)) for row in found):
        return found
    return [found]


def _refuse(where: str, error: ValueError) -> Any:
    raise DataError(f"{where} is not JSON: {error}.") from None


def _csv(path: Path, schema: Schema) -> Iterator[dict[str, Any]]:
    """Read rows with cells converted by the schema; an empty cell is missing, an invalid number stays text."""
    features = schema.by_name
    for _, row in tabular.csv_rows(path):
        yield {name: _cell(cell, features.get(name)) for name, cell in row.items() if name != schema.target}


def _cell(cell: str, feature: Feature | None) -> Any:
    if cell == "":
        return None
    if feature is None or feature.kind == "category" and not feature.bins:
        return cell
    if feature.kind == "boolean":
        return _WORDS.get(cell.strip().lower(), cell)
    try:
        return float(cell)
    except ValueError:
        return cell


def _parquet(path: Path, schema: Schema) -> Iterator[dict[str, Any]]:
    features = schema.by_name
    for _, row in tabular.parquet_rows(path):
        yield {name: _value(value, features.get(name)) for name, value in row.items() if name != schema.target}


def _value(value: Any, feature: Feature | None) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, bytes) and feature is not None and feature.kind == "image":
        return {"b64": base64.b64encode(value).decode()}
    return value


def _image(path: Path, schema: Schema) -> dict[str, Any]:
    if not schema.images:
        raise InputError(f"{schema.usecase} takes no image; pass rows of {', '.join(schema.by_name)}.")
    return {schema.images[0].name: {"b64": base64.b64encode(path.read_bytes()).decode()}}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): convert it first, as with iconv.") from None
