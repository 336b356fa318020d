"""Reads JSON lines as DuckDB rows, so that a broken line, whatever it is, hides no other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from slipway.settings import Settings

MAX_LINE = 16 << 20
_MEMORY = "1GB"
_SMALL_MEMORY = "320MB"


def connect(settings: Settings, small: bool = False) -> DuckDBPyConnection:
    """Open a bounded database in memory, in UTC, that spills under `var` and does not use the network.

    A `small` one is for a process next to a server: one core and a third of the memory, enough for a segment.
    """
    import duckdb

    spill = settings.var / "tmp" / "duckdb"
    spill.parent.mkdir(parents=True, exist_ok=True)  # DuckDB makes the last folder only
    return duckdb.connect(
        config={
            "memory_limit": _SMALL_MEMORY if small else _MEMORY,
            "temp_directory": str(spill),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "TimeZone": "UTC",
            **({"threads": 1} if small else {}),
        }
    )


def rows(files: Iterable[object], columns: Mapping[str, str]) -> str:
    """Write the query that reads files of JSON lines as columns with dotted names, a column per leaf.

    A line that is no event (not JSON, no `event.id`, no readable `@timestamp`) gives no row.
    """
    leaves = ", ".join(f"{_path(name)} AS {quoted(name)}" for name in columns)
    parsed = f"from_json(line, {literal(json.dumps(_structure(columns)))})"
    # No filter is pushed below UNNEST: each line is parsed once, in place of once more for each part of the WHERE.
    return f"""SELECT * FROM (
        SELECT {leaves} FROM (
            SELECT unnest(CASE WHEN json_valid(line) THEN [{parsed}] END) AS event FROM {_lines(files)}
        )
    ) WHERE "event.id" IS NOT NULL AND "@timestamp" IS NOT NULL"""


def count(file: BinaryIO) -> int:
    """Count a file's lines, including a last one without its newline."""
    file.seek(0)
    lines, last = 0, b"\n"
    while block := file.read(1 << 20):
        lines += block.count(b"\n")
        last = block[-1:]
    return lines + (last != b"\n")


def literal(text: object) -> str:
    """Quote a text as a literal of SQL: a query that becomes a relation takes no parameters."""
    return "'" + str(text).replace("'", "''") + "'"


def literals(texts: Iterable[object]) -> str:
    """Quote texts as a list of SQL."""
    return "[" + ", ".join(map(literal, texts)) + "]"


def quoted(name: str) -> str:
    """Quote a name of SQL."""
    return '"' + name.replace('"', '""') + '"'


def feature_text(name: str) -> str:
    """Write the expression for the text of a logged feature; NULL if it is null or absent.

    A JSON pointer finds every name: a path takes `*` for all features, and a backslash for an escape.
    """
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f'("slipway.features" ->> {literal(pointer)})'


def _lines(files: Iterable[object]) -> str:
    """The CSV reader with one column, for read_json fails as a whole on an overlong line. The delimiter is a byte that
    JSON does not allow. A line that is too long or no UTF-8 is left out; whoever counts the newlines misses it."""
    return f"""read_csv({literals(files)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,
        delim = '\x01', quote = '', escape = '', strict_mode = false, ignore_errors = true,
        max_line_size = {MAX_LINE}, buffer_size = {2 * MAX_LINE})"""


def _path(name: str) -> str:
    return ".".join(["event", *(quoted(part) for part in name.split("."))])


def _structure(columns: Mapping[str, str]) -> dict[str, Any]:
    """The dotted names as the nested object that a line is: {"event.id": "VARCHAR"} → {"event": {"id": "VARCHAR"}}."""
    root: dict[str, Any] = {}
    for name, kind in columns.items():
        *parents, leaf = name.split(".")
        place = root
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = kind
    return root
