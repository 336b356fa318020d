"""Table of labels: reads CSV, Parquet or JSON lines, and checks the rows as entries of feedback.

    table = parse(read_rows(Path("labels.csv")), schema)
    table.entries, table.unlabelled

Columns: `id` (from the response) or `key` (the caller's own), `label` or `value`, and `known_at` if it is known. Rows
whose label is still missing are skipped. Cells mean what they mean in training: `1.0` is the class `1`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.contracts.events.feedback_event import is_plausible
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.contracts.schema import Schema, TableFormat
from slipway.errors import DataError, suggestion
from slipway.tables import cells, compressed_files, csv_files, parquet_files
from slipway.tables.cells import CellError, Converter
from slipway.timestamps import as_utc, iso

COLUMNS = ("id", "key", "label", "value", "known_at")
_SHOWN = 5
_SHOWN_CHARACTERS = 60
_SEPARATORS = (",", ";", "\t", "|")
_FLOAT_KEY = re.compile(r"(-?\d+)\.0")
_ROUNDED_KEY = re.compile(r"-?\d(\.\d+)?[eE]\+\d+")
_to_text = cells.converter("category", missing=())

Unchecked = tuple[str, dict[str, Any]]  # the row's position ("labels.csv:12"), and its cells


@dataclass(frozen=True)
class LabelTable:
    """Checked entries, the number of rows without a label, and whether keys such as `1000.0` were read as `1000`."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    unlabelled: int = 0
    whole_keys: bool = False

    @property
    def sentences(self) -> list[str]:
        """Messages for a person, one sentence each."""
        messages = []
        if self.unlabelled:
            messages.append(f"{self.unlabelled:,} rows have no label yet: they were skipped.")
        if self.whole_keys:
            messages.append("All keys end in '.0', as where a tool made numbers of them: 1000.0 is sent as 1000.")
        return messages


def read_rows(path: Path) -> list[Unchecked]:
    """Read the file's rows, unchecked, each with its position.

    Raises:
        DataError: no such file, a file type that is not supported, no rows, or an unknown column.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(compressed_files.plain_suffix(path))
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


def parse(rows: list[Unchecked], schema: Schema) -> LabelTable:
    """Check the rows as entries of feedback: either id or key, a label of the schema's classes or a finite value.

    Raises:
        DataError: rows are wrong, or none has a label; the message shows the first five, each with its position.
    """
    words = (cells.MISSING | set(schema.table.missing)) - set(schema.classes)
    given = [(position, _given(row, words)) for position, row in rows]
    labelled = [(position, row) for position, row in given if "label" in row or "value" in row]
    unlabelled, whole_keys = len(given) - len(labelled), _has_whole_keys(given)
    to_label = cells.converter("category", known=schema.classes, missing=())
    entries, wrong = [], []
    for position, row in labelled or given:
        try:
            entries.append(_entry(row, schema, to_label, whole_keys))
        except ValueError as error:
            wrong.append(f"{position}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = "\n".join(wrong[:_SHOWN])
        raise DataError(f"{len(wrong)} of {len(rows)} rows are wrong, nothing was sent:\n{shown}{more}")
    return LabelTable(entries, unlabelled, whole_keys)


def _given(row: dict[str, Any], words: Collection[str]) -> dict[str, Any]:
    """Return the cells of a row that are not empty, without the blanks around them, and its label if it has one."""
    trimmed = {name: cell.strip() if isinstance(cell, str) else cell for name, cell in row.items()}
    return {
        name: cell
        for name, cell in trimmed.items()
        if not (_empty(cell) or name != "key" and isinstance(cell, str) and cell in words)
    }


def _has_whole_keys(rows: list[Unchecked]) -> bool:
    """Whether the keys were integers that a tool has written as floats, as pandas does where one is missing."""
    keys = [row["key"] for _, row in rows if "key" in row]
    return bool(keys) and all(isinstance(key, str) and _FLOAT_KEY.fullmatch(key) for key in keys)


def _entry(row: dict[str, Any], schema: Schema, to_label: Converter, whole_keys: bool) -> dict[str, Any]:
    names = [name for name in ("id", "key") if name in row]
    if len(names) != 1:
        raise ValueError(f"a row has either an id or a key; this one has {' and '.join(names) or 'neither'}")
    name = _name(row[names[0]])
    if names == ["key"] and whole_keys:
        name = name.removesuffix(".0")
    if len(name) > MAX_TEXT:
        raise ValueError(f"the {names[0]} has {len(name)} characters, at most {MAX_TEXT} are allowed")
    entry = {names[0]: name, **_truth(row, schema, to_label)}
    if "known_at" in row:
        entry["known_at"] = _instant(row["known_at"])
    return entry


def _name(cell: Any) -> str:
    if isinstance(cell, str) and _ROUNDED_KEY.fullmatch(cell):
        raise ValueError(f"{cell} is a key that a tool has made a number of, and rounded: have it read keys as text")
    name: str = _to_text(cell)
    return name


def _truth(row: dict[str, Any], schema: Schema, to_label: Converter) -> dict[str, Any]:
    wanted, other = ("value", "label") if schema.task == "regression" else ("label", "value")
    if other in row or wanted not in row:
        given = "a " + other if other in row else "none"
        raise ValueError(f"{schema.usecase} is a {schema.task} task and needs a {wanted}; {given} was given")
    if wanted == "value":
        return {"value": _finite(row["value"], schema)}
    label = to_label(row["label"])
    if label not in schema.classes:
        hint = suggestion(label, schema.classes)
        raise ValueError(f"label {label[:_SHOWN_CHARACTERS]!r} is no class.{hint} Classes: {', '.join(schema.classes)}")
    return {"label": label}


def _finite(cell: Any, schema: Schema) -> float:
    """Convert a number as training reads its target; a decimal point is understood beside a declared comma."""
    mark = schema.table.decimal
    convert = cells.converter("number", missing=(), decimal=mark if mark in str(cell) else ".")
    try:
        number: float | None = None if isinstance(cell, bool) else convert(cell)
    except CellError:
        number = None
    if number is None:
        raise ValueError(f"value {cell!r} is no finite number that 32 bits hold")
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
    for line, row in csv_files.rows(path, _form(path)):
        yield f"{path.name}:{line}", row


def _form(path: Path) -> TableFormat:
    """Return the form by whose separator the header has names of columns."""
    forms = [TableFormat(separator=separator) for separator in _SEPARATORS]
    return next((form for form in forms if _has_columns(path, form)), csv_files.PLAIN)


def _has_columns(path: Path, form: TableFormat) -> bool:
    try:
        with csv_files.opened(path, form) as table:
            return len(table.names) > 1 and {*table.names} <= {*COLUMNS}
    except DataError:
        return False


def _json_lines(path: Path) -> Iterator[Unchecked]:
    with compressed_files.opened(path) as content:
        lines = content.read().splitlines()
    for number, line in enumerate(lines, start=1):
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
    for number, row in parquet_files.rows(path):
        yield f"{path.name}, row {number}", row
