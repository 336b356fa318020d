"""Reads CSV files strictly: every row has as many cells as the header, and every name is there once."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contracts.schema.model import TableFormat
from slipway.errors import DataError
from slipway.tables import compressed_files, csv_lines, simple_csv

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PLAIN = TableFormat()
_UNUSED = "\udfff"  # stands for a separator of several characters: no text that was decoded has it
csv.field_size_limit(2**31 - 1)  # of the process: 131,072 characters are less than a long text, or an image in base64

Row = tuple[int, list[str]]  # the row's line in the file, and its cells as text


@dataclass(frozen=True)
class CsvTable:
    """An open CSV file: its names, and an iterator over its rows."""

    names: list[str]
    rows: Iterator[Row]


@contextmanager
def opened(path: Path, form: TableFormat = PLAIN, origin: str = "") -> Iterator[CsvTable]:
    """Open a CSV file; blank lines are skipped, and cells are kept as they are.

    Raises:
        DataError: the file is not as `form` says; names the line, or the option of `source.csv`. Also while rows are
            read.
        OSError: there is no such file.
    """
    origin = origin or str(path)
    with compressed_files.opened(path, origin) as content, _encoding_errors(form, origin):
        text = io.TextIOWrapper(content, encoding=form.encoding, newline="")
        lines = csv_lines.without_marks(csv_lines.of_its_encoding(text, form, origin), form, origin)
        yield _with_names(_Lines(lines, form, origin), form, origin)


def rows(path: Path, form: TableFormat = PLAIN) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file: for each row its line in the file, and its cells by name. Raises as `opened` does."""
    with opened(path, form) as table:
        for line, cells in table.rows:
            yield line, dict(zip(table.names, cells, strict=True))


def frame(path: Path, form: TableFormat = PLAIN, origin: str = "") -> pd.DataFrame:
    """Read a CSV file as a frame of text. Raises as `opened` does."""
    import pandas as pd

    with opened(path, form, origin) as table:
        cells = [row for _, row in table.rows]
    columns = zip(*cells, strict=True) if cells else [()] * len(table.names)
    return pd.DataFrame(dict(enumerate(columns)), dtype=object).set_axis(_labels(table.names, form), axis=1)


def text_frame(path: Path, form: TableFormat = PLAIN, origin: str = "") -> pd.DataFrame:
    """Read a CSV file as `frame` does, with columns of Arrow's text where that is faster; blanks stay around cells."""
    import pandas as pd

    origin = origin or str(path)
    found = _at_once(path, form, origin)
    if found is None or len(form.columns) not in (0, found.num_columns):
        return frame(path, form, origin)
    names = list(form.columns) or _names([column[0].as_py() for column in found.columns], form, origin)
    columns = [pd.Series(column, dtype="string[pyarrow]") for column in found.slice(int(form.header)).columns]
    return pd.DataFrame(dict(enumerate(columns))).set_axis(_labels(names, form), axis=1)


def _at_once(path: Path, form: TableFormat, origin: str) -> pa.Table | None:
    with _encoding_errors(form, origin):
        utf8 = codecs.lookup(form.encoding).name in ("utf-8", "utf-8-sig")
    delimiter = csv_lines.delimiter(form.separator)
    if not (utf8 and delimiter.isascii() and len(delimiter) == 1) or form.separator == csv_lines.BLANKS:
        return None
    with compressed_files.opened(path, origin) as content:
        return simple_csv.read(content.read(), delimiter)


def _labels(names: list[str], form: TableFormat) -> Iterable[Hashable]:
    return names if form.header or form.columns else range(len(names))


class _Lines:
    """The rows of a file, with or without its header, one after the other; a line without any character is none."""

    def __init__(self, lines: Iterable[str], form: TableFormat, origin: str) -> None:
        self._origin, self._separator = origin, form.separator
        self._several = csv_lines.several_characters(form.separator)
        delimiter = _UNUSED if self._several else csv_lines.delimiter(form.separator)
        # blanks after a separator belong to no cell, so `, "a"` is a cell in quotation marks
        blanks = delimiter != " " or form.separator == csv_lines.BLANKS
        if form.separator == csv_lines.BLANKS:
            lines = csv_lines.with_one_blank(lines)
        elif self._several:
            lines = (line.replace(self._several, _UNUSED) for line in lines)
        self._reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=blanks)

    def __iter__(self) -> Iterator[Row]:
        reader, several = self._reader, self._several
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.replace(_UNUSED, several) for cell in cells] if several else cells
        except csv.Error as error:
            raise DataError(
                f"{self._origin}:{self._reader.line_num}: is not CSV with the separator {self._separator!r}: {error}. "
                "Close the quotation marks, or set source.csv.separator."
            ) from None


def _with_names(lines: Iterable[Row], form: TableFormat, origin: str) -> CsvTable:
    found = iter(lines)
    first = next((row for row in found if not _is_blank(row, form)), None)
    if first is None:
        raise DataError(f"{origin} is empty. A header and rows are needed.")
    data = found if form.header else chain([first], found)
    if form.columns:
        return _with_columns(first, data, form, origin)
    names = _names(first[1], form, origin)
    return CsvTable(names, _as_wide(data, len(names), form, origin))


def _with_columns(first: Row, data: Iterator[Row], form: TableFormat, origin: str) -> CsvTable:
    """Return the rows with the names of `form`: in place of a header, which may be anything, as the counts of rows."""
    row = next(data, None)
    width = len((row or first)[1])
    if len(form.columns) != width:
        raise DataError(
            f"{origin} has {width} columns, and source.csv.columns names {len(form.columns)}. "
            f"Is source.csv.separator {form.separator!r} right?"
        )
    return CsvTable(list(form.columns), _as_wide(chain([row] if row else [], data), width, form, origin))


def _names(first: list[str], form: TableFormat, origin: str) -> list[str]:
    if not form.header:
        return [str(number) for number in range(len(first))]
    names = [name.strip() or f"Unnamed: {number}" for number, name in enumerate(first)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{origin} has several columns of one name: {twice}. Rename them, or name all columns by "
            "source.csv.columns, in place of the header."
        )
    return names


def _as_wide(found: Iterator[Row], width: int, form: TableFormat, origin: str) -> Iterator[Row]:
    rows = (row for row in found if len(row[1]) == width or not _is_blank(row, form))
    for number, (line, cells) in enumerate(rows, start=1):
        if len(cells) != width:
            raise DataError(
                f"{origin}:{line}: has not as many cells as there are columns: row {number} has {len(cells)} instead "
                f"of {width}. Is the separator {form.separator!r} right, and the line whole? A cell that contains the "
                "separator needs quotation marks."
            )
        yield line, cells


def _is_blank(row: Row, form: TableFormat) -> bool:
    """Whether the line holds blanks alone, which may be separators."""
    return (len(row[1]) == 1 or csv_lines.delimiter(form.separator).isspace()) and not "".join(row[1]).strip()


@contextmanager
def _encoding_errors(form: TableFormat, origin: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise DataError(
            f"{origin} is not {form.encoding}: {error}. Set source.csv.encoding to the file's encoding, "
            "for instance latin-1, cp1252 or utf-16, or convert the file, as with iconv."
        ) from None
    except LookupError as error:
        raise DataError(f"source.csv.encoding: {error}. Use utf-8, latin-1, cp1252, utf-16, …") from None
