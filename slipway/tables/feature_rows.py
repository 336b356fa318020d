"""Rows of a file by feature name, read as training reads its source: `slipway predict FILE`, `slipway traffic --from`.

A file of the source's own form is understood (separator, header, names of columns), and so is a plain one: commas,
UTF-8, and the features' names as header.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts.schema.model import Feature, Schema, TableFormat
from slipway.errors import DataError
from slipway.tables import cells, compressed_files, csv_files, parquet_files
from slipway.tables.cells import CellError, Converter

if TYPE_CHECKING:
    import pandas as pd

PARQUET = ".parquet"
_SHOWN = 60

Decode = Callable[["pd.DataFrame"], "pd.DataFrame"]


@dataclass(frozen=True)
class FeatureRows:
    """Rows by feature name, and their targets; None is missing.

    `targets` is None if the file has no column of the target. `ignored` are columns that are neither, `absent` features
    that the file has no column for.
    """

    rows: list[dict[str, Any]]
    targets: list[Any] | None
    ignored: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def read(path: Path, schema: Schema, *, strict: bool = True, decode: Decode | None = None) -> FeatureRows:
    """Read a file's rows.

    Args:
        path: a CSV or Parquet file.
        schema: the schema of the model that gets the rows.
        strict: refuse a cell that is no value of its feature; otherwise it stays as it is.
        decode: the function of the use case's `decode.py`, for a file in the codes of the source.

    Raises:
        DataError: the file cannot be read, or `strict` and a cell is no value of its feature; names its line.
    """
    form = table_form(path, schema)
    with _opened(path, form, decode) as (names, rows):
        columns = {name: form.names.get(name, name) for name in [*schema.by_name, schema.target]}
        places = {name: names.index(column) for name, column in columns.items() if column in names}
        convert = {name: _converter(schema, name, form) for name in places}
        found = [_row(path, line, row, places, convert, schema, strict) for line, row in rows]
    targets = [row.pop(schema.target) for row in found] if schema.target in places else None
    ignored = [name for name in names if name not in {columns[name] for name in places}]
    return FeatureRows(found, targets, ignored, [name for name in schema.by_name if name not in places])


def table_form(path: Path, schema: Schema) -> TableFormat:
    """Return the form of the file that finds most of the features in it: the source's own, or else the plain one."""
    own = schema.table
    plain = TableFormat(missing=own.missing)
    if own == plain:
        return own
    # without a header any file has the declared columns, so its first line tells
    forms = [own, plain] if own.header else [plain, own]
    return max(forms, key=lambda form: _features_found(path, schema, form))


def is_table(path: Path) -> bool:
    """Whether the file's name is one of a table, compressed or not."""
    return compressed_files.plain_suffix(path) in (".csv", PARQUET)


def _features_found(path: Path, schema: Schema, form: TableFormat) -> int:
    try:
        with _opened(path, form, None) as (names, rows):
            if schema.table.encoding != csv_files.PLAIN.encoding:
                deque(rows, maxlen=0)  # the whole file tells whether it is of this encoding
            return sum(form.names.get(name, name) in names for name in schema.by_name)
    except DataError:
        return -1


@contextmanager
def _opened(
    path: Path, form: TableFormat, decode: Decode | None
) -> Iterator[tuple[list[str], Iterable[tuple[int, list[Any]]]]]:
    """Open the names and the rows of a file, each row with its line or number."""
    if path.suffix.lower() == PARQUET:
        frame = parquet_files.frame(path)
        yield _of_frame(decode(frame) if decode else frame)
    elif decode:
        yield _of_frame(decode(csv_files.frame(path, form)))
    else:
        with csv_files.opened(path, form) as table:
            yield table.names, table.rows


def _of_frame(frame: pd.DataFrame) -> tuple[list[str], Iterable[tuple[int, list[Any]]]]:
    columns = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame.columns]
    return [str(name) for name in frame.columns], enumerate(map(list, zip(*columns, strict=True)), start=1)


def _converter(schema: Schema, name: str, form: TableFormat) -> Converter:
    missing = cells.MISSING | set(form.missing)
    feature = schema.by_name.get(name)
    if feature is None:
        kind = "number" if schema.task == "regression" else "category"
        return cells.converter(kind, known=frozenset(schema.classes), missing=missing, decimal=form.decimal)
    if feature.kind == "image":
        return lambda cell: cell
    if feature.bins:
        return _bucketed(feature, missing, form.decimal)
    known = frozenset(feature.vocabulary or ())
    return cells.converter(feature.kind, known=known, missing=missing, decimal=form.decimal)


def _bucketed(feature: Feature, missing: Iterable[str], decimal: str) -> Converter:
    """Convert the number that a bucket is made of; the bucket's own name stays."""
    number = cells.converter("number", missing=frozenset(missing), decimal=decimal)
    return lambda cell: cell if cell in (feature.vocabulary or ()) else number(cell)


def _row(
    path: Path,
    line: int,
    row: list[Any],
    places: dict[str, int],
    convert: dict[str, Converter],
    schema: Schema,
    strict: bool,
) -> dict[str, Any]:
    values = {}
    for name, place in places.items():
        cell = row[place]
        try:
            values[name] = convert[name](cell)
        except CellError as error:
            if strict and name in schema.by_name:
                raise DataError(_sentence(path, line, schema.by_name[name], cell, error)) from None
            values[name] = cell if isinstance(cell, str | int | float) else str(cell)
    return values


def _sentence(path: Path, line: int, feature: Feature, cell: Any, error: CellError) -> str:
    shown = "a value (private, not shown)" if feature.private else repr(cell)[:_SHOWN]
    return f"{path.name}:{line}: {feature.name} is of the kind {feature.kind}, and holds {shown}. {error}"
