"""Table of labels: reads CSV, Parquet or JSON lines, and checks the rows as entries of feedback.

    entries = parse_entries(read_rows(Path("labels.csv")), schema)

Columns: `id` (from the response) or `key` (the caller's own), `label` or `value`, and `known_at` if it is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.config import tabular
from slipway.contracts.events.feedback_event import is_plausible
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.contracts.schema import Schema
from slipway.errors import DataError, suggestion
from slipway.timestamps import as_utc, iso

COLUMNS = ("id", "key", "label", "value", "known_at")
_SHOWN = 5
_SHOWN_CHARACTERS = 60

Unchecked = tuple[str, dict[str, Any]]  # the row's position ("labels.csv:12"), and its cells


def read_rows(path: Path) -> list[Unchecked]:
    """Read the file's rows, unchecked, each with its position.

    Raises:
        DataError: no such file, a file type that is not supported, no rows, or an unknown column.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: files ending in {path.suffix or 'nothing'!r} are not supported; {', '.join(readers)} are."
        )
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    rows = list(reader(path))
    if not rows:
        raise DataError(f"{path} holds no rows.")
    for position, row in rows:
        for column in row:
            if column not in COLUMNS:
                hint = suggestion(str(column), COLUMNS)
                raise DataError(f"{position}: unknown column {column!r}.{hint} Allowed: {', '.join(COLUMNS)}.")
    return rows


def parse_entries(rows: list[Unchecked], schema: Schema) -> list[dict[str, Any]]:
    """Check the rows as entries of feedback: either id or key, a label of the schema's classes or a finite value.

    Raises:
        DataError: rows are wrong; the message shows the first five, each with its position.
    """
    entries, wrong = [], []
    for position, row in rows:
        try:
            entries.append(_entry({name: cell for name, cell in row.items() if not _empty(cell)}, schema))
        except ValueError as error:
            wrong.append(f"{position}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = "\n".join(wrong[:_SHOWN])
        raise DataError(f"{len(wrong)} of {len(rows)} rows are wrong, nothing was sent:\n{shown}{more}")
    return entries


def _entry(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    names = [name for name in ("id", "key") if name in row]
    if len(names) != 1:
        raise ValueError(f"a row has either an id or a key; this one has {' and '.join(names) or 'neither'}")
    name = str(row[names[0]])
    if len(name) > MAX_TEXT:
        raise ValueError(f"the {names[0]} has {len(name)} characters, at most {MAX_TEXT} are allowed")
    entry = {names[0]: name, **_truth(row, schema)}
    if "known_at" in row:
        entry["known_at"] = _instant(row["known_at"])
    return entry


def _truth(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    wanted, other = ("value", "label") if schema.task == "regression" else ("label", "value")
    if other in row or wanted not in row:
        given = "a " + other if other in row else "none"
        raise ValueError(f"{schema.usecase} is a {schema.task} task and needs a {wanted}; {given} was given")
    if wanted == "value":
        return {"value": _finite(row["value"])}
    label = str(row["label"])
    if label not in schema.classes:
        hint = suggestion(label, schema.classes)
        raise ValueError(f"label {label[:_SHOWN_CHARACTERS]!r} is no class.{hint} Classes: {', '.join(schema.classes)}")
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
    """Format a time as ISO 8601 in UTC; a time without a zone is UTC."""
    try:
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell))
    except ValueError:
        raise ValueError(f"known_at {cell!r} is no time; write it as 2026-01-31T12:00:00Z") from None
    moment, now = as_utc(moment), datetime.now(UTC)
    if not is_plausible(moment, now):
        raise ValueError(f"known_at {cell!s} is in the future or more than ten years ago: correct it or leave it out")
    return iso(min(moment, now))


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
