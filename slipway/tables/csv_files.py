"""Reads CSV files strictly: every row has as many cells as the header, and every name is there once."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from slipway.contracts.schema.model import TableFormat
from slipway.errors import DataError
from slipway.tables import compressed_files

if TYPE_CHECKING:
    import pandas as pd

PLAIN = TableFormat()
_UTF8 = ("utf-8", "utf8")
_BLANKS = r"\s+"
_UNUSED = "\x1f"  # stands for a separator of several characters

Row = tuple[int, list[str]]  # the row's line in the file, and its cells as text


@dataclass(frozen=True)
class CsvTable:
    """An open CSV file: its names, and an iterator over its rows."""

    names: list[str]
    rows: Iterator[Row]


@contextmanager
def opened(path: Path, form: TableFormat = PLAIN, origin: str = "") -> Iterator[CsvTable]:
    """Open a CSV file; blank lines are passed over, and cells are kept as they are.

    Raises:
        DataError: the file is not as `form` says; names the line, or the option of `source.csv`. Also while rows are
            read.
        OSError: there is no such file.
    """
    origin = origin or str(path)
    with compressed_files.opened(path, origin) as content, _encoding_errors(form, origin):
        encoding = "utf-8-sig" if form.encoding.lower() in _UTF8 else form.encoding
        lines = _Lines(content, encoding, form, origin)
        yield _with_names(lines, form, origin)


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
    names = table.names if form.header or form.columns else range(len(table.names))
    return pd.DataFrame(dict(enumerate(columns)), dtype=object).set_axis(names, axis=1)


class _Lines:
    """The rows of a file, with or without its header, one after the other."""

    def __init__(self, content: IO[bytes], encoding: str, form: TableFormat, origin: str) -> None:
        delimiter = _delimiter(form.separator)
        text = io.TextIOWrapper(content, encoding=encoding, newline="")
        self._origin, self._separator = origin, form.separator
        # blanks after a separator belong to no cell, so `, "a"` is a cell in quotation marks
        blanks = delimiter != " " or form.separator == _BLANKS
        replaced = _replaced(text, form.separator)
        self._reader = csv.reader(replaced, strict=True, delimiter=delimiter, skipinitialspace=blanks)

    def __iter__(self) -> Iterator[Row]:
        try:
            for cells in self._reader:
                if len(cells) > 1 or "".join(cells).strip():
                    yield self._reader.line_num, cells
        except csv.Error as error:
            raise DataError(
                f"{self._origin}:{self._reader.line_num}: is not CSV with the separator {self._separator!r}: {error}. "
                "Close the quotation marks, or set source.csv.separator."
            ) from None


def _delimiter(separator: str) -> str:
    if separator == _BLANKS:
        return " "
    wanted = "\t" if separator == r"\t" else separator.strip(" ") or separator[:1]
    return wanted if len(wanted) == 1 else _UNUSED


def _replaced(lines: Iterable[str], separator: str) -> Iterable[str]:
    """Return lines in which a separator of several characters is one character."""
    if separator == _BLANKS:
        return (line.strip().replace("\t", " ") + "\n" for line in lines)
    wanted = separator.strip(" ")
    if len(wanted) > 1 and wanted != r"\t":
        return (line.replace(wanted, _UNUSED) for line in lines)
    return lines


def _with_names(lines: Iterable[Row], form: TableFormat, origin: str) -> CsvTable:
    found = iter(lines)
    first = next(found, None)
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
    for number, (line, cells) in enumerate(found, start=1):
        if len(cells) != width:
            raise DataError(
                f"{origin}:{line}: has not as many cells as there are columns: row {number} has {len(cells)} instead "
                f"of {width}. Is the separator {form.separator!r} right, and the line whole? A cell that contains the "
                "separator needs quotation marks."
            )
        yield line, cells


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
