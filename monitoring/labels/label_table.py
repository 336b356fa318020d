"""A table of labels as a person has it (CSV, Parquet, JSON lines), and as checked entries of feedback.

    entries = checked(read(Path("labels.csv")), schema)

Columns: `id` (from the answer) or `key` (the caller's own), `label` or `value`, and `known_at` where it is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway.config import tabular
from slipway.contracts.schema import Schema
from slipway.errors import DataError, suggestion
from slipway.timestamps import as_utc, iso

COLUMNS = ("id", "key", "label", "value", "known_at")
_SHOWN = 5

Unchecked = tuple[str, dict[str, Any]]  # where the row stands ("labels.csv:12"), and its cells


def read_rows(path: Path) -> list[Unchecked]:
    """The file's rows, unchecked, each with its place.

    Raises:
        DataError: no such file, a kind that is not read, no rows, or a column that is not known.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: files ending in {path.suffix or 'nothing'!r} are not read; {', '.join(readers)} are.")
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    rows = list(reader(path))
    if not rows:
        raise DataError(f"{path} holds no rows.")
    for place, row in rows:
        for column in row:
            if column not in COLUMNS:
                hint = suggestion(str(column), COLUMNS)
                raise DataError(f"{place}: unknown column {column!r}.{hint} Allowed: {', '.join(COLUMNS)}.")
    return rows


def parse_entries(rows: list[Unchecked], schema: Schema) -> list[dict[str, Any]]:
    """The rows as entries of feedback: one of id and key, a label of the schema's classes or a finite value.

    Raises:
        DataError: rows are wrong; the message shows the first five, each with its place.
    """
    entries, wrong = [], []
    for place, row in rows:
        try:
            entries.append(_entry({name: cell for name, cell in row.items() if not _empty(cell)}, schema))
        except ValueError as error:
            wrong.append(f"{place}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = "\n".join(wrong[:_SHOWN])
        raise DataError(f"{len(wrong)} of {len(rows)} rows are wrong, nothing was sent:\n{shown}{more}")
    return entries


def _entry(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    names = [name for name in ("id", "key") if name in row]
    if len(names) != 1:
        raise ValueError(f"a row has either an id or a key; this one has {' and '.join(names) or 'neither'}")
    entry = {names[0]: str(row[names[0]]), **_truth(row, schema)}
    if "known_at" in row:
        entry["known_at"] = _instant(row["known_at"])
    return entry


def _truth(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    wanted, other = ("value", "label") if schema.task == "regression" else ("label", "value")
    if other in row or wanted not in row:
        came = "a " + other if other in row else "none"
        raise ValueError(f"{schema.usecase} is a {schema.task} task and needs a {wanted}; {came} came")
    if wanted == "value":
        return {"value": _finite(row["value"])}
    label = str(row["label"])
    if label not in schema.classes:
        hint = suggestion(label, schema.classes)
        raise ValueError(f"label {label!r} is no class.{hint} Classes: {', '.join(schema.classes)}")
    return {"label": label}


def _finite(cell: Any) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"value {cell!r} is no finite number")
    return number


def _instant(cell: Any) -> str:
    """ISO 8601 in UTC; a time without a zone is taken as UTC."""
    try:
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell))
    except ValueError:
        raise ValueError(f"known_at {cell!r} is no time; write 2026-01-31T12:00:00Z") from None
    return iso(as_utc(moment))


def _empty(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _csv(path: Path) -> Iterator[Unchecked]:
    for line, row in tabular.csv_rows(path):
        yield f"{path.name}:{line}", row


def _json_lines(path: Path) -> Iterator[Unchecked]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: holds {type(row).__name__}, an object is needed.")
        yield f"{path.name}:{number}", row


def _parquet(path: Path) -> Iterator[Unchecked]:
    for number, row in tabular.parquet_rows(path):
        yield f"{path.name}, row {number}", row
